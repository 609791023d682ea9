//! Lets a bench do one piece of its work a given number of times and nothing else, so that valgrind can count what it costs:
//! `deploy/budget.py` holds the counts to their budgets. Shared by the benches of several crates.

/// `COUNTED=name:times`: does the work of that name so often; `false` when it was not asked for.
pub(crate) fn counted(works: &mut [(&str, &mut dyn FnMut())]) -> bool {
    let Ok(asked) = std::env::var("COUNTED") else {
        return false;
    };
    let (name, times) = asked.split_once(':').expect("COUNTED is name:times");
    let times: u32 = times.parse().expect("a number of times");
    let (_, work) = works
        .iter_mut()
        .find(|(known, _)| *known == name)
        .expect("a work of this bench");
    for _ in 0..times {
        work();
    }
    true
}
