#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod backoff;
mod balancer;
mod builder;
mod channel;
mod client;
mod configuration_error;
mod connector;
mod detail;
mod door;
mod door_error;
mod door_headers;
mod error;
mod failure;
mod first_word;
mod keeper;
mod random;
mod redaction;
#[cfg(feature = "reqwest")]
mod reqwest_door;
mod rpcs;
mod session_stream;
mod target;
mod tls;
mod token;

// The generated code of one package names the other's by this order of modules.
mod proto {
    /// Messages of `google.rpc` that the contract uses.
    pub mod google {
        /// A status as a message, as in [`BatchSignResult`](crate::v1::BatchSignResult).
        pub mod rpc {
            tonic::include_proto!("google.rpc");
        }
    }
    pub mod privyseal {
        /// The contract: messages, and stubs for [`Client::channel`](crate::Client::channel).
        #[allow(rustdoc::invalid_rust_codeblocks)] // The comments hold JSON.
        pub mod v1 {
            tonic::include_proto!("privyseal.v1");
        }
    }
}

pub use builder::ClientBuilder;
pub use channel::{Channel, ResponseBody};
pub use client::Client;
pub use configuration_error::ConfigurationError;
pub use door::{Door, Receipt, Report};
pub use door_error::{DoorError, Refused};
pub use error::Error;
pub use proto::google;
pub use proto::privyseal::v1;
#[cfg(feature = "reqwest")]
pub use reqwest_door::http_client_builder;
pub use session_stream::{SessionEvent, SessionStream};
pub use tls::Tls;
pub use tonic::Code;
