use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{error::Error as _, io};

use privyseal::v1::ListVenuesRequest;
use privyseal::{Client, Code};
use tokio::time::sleep;

use crate::certificates::Authority;
use crate::grpc_server::GrpcServer;

async fn server(authority: &Authority) -> GrpcServer {
    GrpcServer::start(Some(authority.server()), |_| async { Ok(Vec::new()) }).await
}

fn bearers(server: &GrpcServer) -> Vec<String> {
    let calls = server.calls();
    calls.iter().map(|call| call.headers["authorization"].to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_token_file_is_read_again_and_a_bad_one_leaves_the_last() {
    let authority = Authority::new();
    let server = server(&authority).await;
    let folder = authority.folder(&authority.issue("caller"));
    folder.write("token", "one\n");
    let client = Client::builder().target(server.target()).tls(folder.tls());
    let client = client.token_file(folder.path("token")).build().unwrap();

    for (content, wait_ms) in [("one", 0), ("two", 1_100), ("a b", 1_100)] {
        folder.write("token", content);
        sleep(Duration::from_millis(wait_ms)).await;
        client.list_venues(ListVenuesRequest::default()).await.unwrap();
    }

    assert_eq!(bearers(&server), ["Bearer one", "Bearer two", "Bearer two"]);
}

#[tokio::test]
async fn a_function_is_asked_for_each_rpc_and_may_fail() {
    let authority = Authority::new();
    let server = server(&authority).await;
    let folder = authority.folder(&authority.issue("caller"));
    let count = Arc::new(AtomicU32::new(0));
    let give = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                2 => Err(io::Error::other("the metadata server is away")),
                3 => Ok("two words".to_owned()),
                number => Ok(format!("token-{number}")),
            }
        }
    };
    let client = Client::builder().target(server.target()).tls(folder.tls()).token(give);
    let client = client.build().unwrap();
    let list = || client.list_venues(ListVenuesRequest::default());

    list().await.unwrap();
    list().await.unwrap();
    let failed = list().await.unwrap_err();
    let bad = list().await.unwrap_err();

    assert_eq!(bearers(&server), ["Bearer token-0", "Bearer token-1"]);
    assert_eq!(failed.code(), Code::Unauthenticated);
    assert_eq!(failed.source().unwrap().to_string(), "the metadata server is away");
    assert_eq!(bad.code(), Code::Unauthenticated);
    assert!(!format!("{bad:?}").contains("two words"));
}
