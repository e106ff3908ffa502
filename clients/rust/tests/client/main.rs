//! What the cases that all clients share can't reach, against real servers on loopback.

mod calls;
mod certificates;
mod connections;
#[cfg(feature = "reqwest")]
mod doors;
mod grpc_server;
mod printed;
mod settings;
mod tokens;
#[cfg(feature = "reqwest")]
mod venue;
