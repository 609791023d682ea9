//! Certificates made on the spot, from the file to the handshake.
