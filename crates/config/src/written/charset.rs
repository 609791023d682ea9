//! `charset` of files.

use super::{Value, token::is_token};
use crate::{Charset, problem::nearest};

/// A name, or "" for none.
pub(crate) fn charset(value: &Value<'_>) -> Option<Charset> {
    let text = value.text()?.trim();
    if text.is_empty() || text == "off" {
        return Some(Charset::None);
    }
    if !is_token(text) {
        value.problem_with_help(
            format!("`{text}` is not the name of a charset"),
            "write for example \"iso-8859-1\", or \"\" for none",
        );
        return None;
    }
    if !KNOWN.split(' ').any(|known| known.eq_ignore_ascii_case(text)) {
        let help = match nearest(text, KNOWN.split(' ')) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write for example \"utf-8\" or \"iso-8859-1\", or \"\" for none".to_owned(),
        };
        // Other clients than browsers may know more.
        let message = format!("browsers do not know a charset `{text}`");
        value.reading.warning(value.span(), message, help);
    }
    Some(Charset::Named(text.to_owned()))
}

/// What browsers know (the Encoding Standard): the name of each encoding, and the other names in common use.
const KNOWN: &str = "\
    utf-8 utf8 utf-16 utf-16be utf-16le us-ascii ascii latin1 iso-8859-1 iso-8859-2 iso-8859-3 \
    iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-8-i iso-8859-9 iso-8859-10 \
    iso-8859-11 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 ibm866 cp866 koi8-r koi8-u macintosh \
    x-mac-cyrillic windows-874 windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 \
    windows-1255 windows-1256 windows-1257 windows-1258 cp1250 cp1251 cp1252 gbk gb2312 gb18030 big5 \
    big5-hkscs euc-jp iso-2022-jp shift_jis sjis euc-kr ks_c_5601-1987 tis-620";
