//! Generates the stubs of `privyseal.v1`, without a `protoc`.

use std::error::Error;

const FILES: [&str; 6] = [
    "privyseal/v1/error_reason.proto",
    "privyseal/v1/hold_service.proto",
    "privyseal/v1/key.proto",
    "privyseal/v1/key_service.proto",
    "privyseal/v1/signing_service.proto",
    "privyseal/v1/venue_service.proto",
];

// Their Debug is written by hand, in src/redaction.rs, since it must not show what they hold.
const SECRETIVE: [&str; 6] = [
    ".privyseal.v1.Header",
    ".privyseal.v1.HttpRequest",
    ".privyseal.v1.ImportKeyRequest",
    ".privyseal.v1.RotateKeyRequest",
    ".privyseal.v1.Session",
    ".privyseal.v1.SignedHttpRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=protos");
    let files = protox::compile(FILES, ["protos"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        // In the order of their keys, so that each attempt of a call sends the same bytes.
        .btree_map(".")
        .bytes(".")
        .skip_debug(SECRETIVE)
        .compile_fds(files)?;
    Ok(())
}
