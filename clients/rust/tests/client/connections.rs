use std::time::Duration;

use privyseal::v1::ListVenuesRequest;
use privyseal::{Client, Code, Error};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::certificates::{Authority, der};
use crate::grpc_server::GrpcServer;

async fn list(client: &Client) -> Result<(), Error> {
    client.list_venues(ListVenuesRequest::default()).await.map(drop)
}

#[tokio::test]
async fn the_next_connection_uses_what_the_files_hold_then() {
    let authority = Authority::new();
    let (first, second) = (authority.issue("first"), authority.issue("second"));
    let server = GrpcServer::start(Some(authority.server()), |_| async { Ok(Vec::new()) }).await;
    let folder = authority.folder(&first);
    let client = Client::builder().target(server.target()).tls(folder.tls()).build().unwrap();

    list(&client).await.unwrap();
    let steps: [&dyn Fn(); 4] = [
        &|| folder.write_pair(&second),
        &|| folder.write("client.pem", "no PEM"),
        &|| folder.write_pair(&(first.0.clone(), second.1.clone())),
        &|| folder.write_pair(&first),
    ];
    for change in steps {
        change();
        server.say_goodbye();
        sleep(Duration::from_millis(300)).await;
        list(&client).await.unwrap();
    }

    let (first, second) = (der(&first.0), der(&second.0));
    let expected = [&first, &second, &second, &second, &first];
    assert!(server.seen.lock().unwrap().certificates.iter().eq(expected));
}

#[tokio::test]
async fn a_certificate_that_the_server_does_not_accept_is_told_of() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = GrpcServer::start(Some(authority.server()), |_| async { Ok(Vec::new()) }).await;
    let folder = authority.folder(&other.issue("caller"));
    let client = Client::builder().target(server.target()).tls(folder.tls()).build().unwrap();

    let error = list(&client).await.unwrap_err();

    assert_eq!((error.code(), error.reason()), (Code::Unavailable, ""));
    assert!(error.message().contains("does it accept this client's certificate?"), "{error}");
}

#[tokio::test]
async fn a_server_that_the_ca_did_not_sign_is_told_of() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = GrpcServer::start(Some(authority.server()), |_| async { Ok(Vec::new()) }).await;
    let folder = other.folder(&other.issue("caller"));
    let client = Client::builder().target(server.target()).tls(folder.tls()).build().unwrap();

    let error = list(&client).await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("check the CA file"), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_up_later_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let target = format!("127.0.0.1:{port}");
    let client = Client::builder().target(target.as_str()).plaintext().build().unwrap();
    let error = list(&client).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("is the server running there?"), "{error}");

    // One that closes at once is no server either.
    let listener = TcpListener::bind(target.as_str()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    drop(stream);
    drop(listener);
    let error = list(&client).await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test]
async fn addresses_take_turns() {
    let one = GrpcServer::start(None, |_| async { Ok(Vec::new()) }).await;
    let two = GrpcServer::start(None, |_| async { Ok(Vec::new()) }).await;
    let targets = [one.address, two.address].map(|address| address.to_string());
    let client = Client::builder().target(&targets[0]).target(&targets[1]).plaintext();
    let client = client.build().unwrap();

    list(&client).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        list(&client).await.unwrap();
    }

    let (one, two) = (one.calls().len(), two.calls().len());
    assert_eq!(one + two, 21);
    assert!(one.abs_diff(two) <= 3, "{one} and {two}");
}

#[tokio::test]
async fn a_dropped_client_closes_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let client = Client::builder().target(target).plaintext().build().unwrap();
    let call = tokio::spawn(async move { list(&client).await });
    let (stream, _) = listener.accept().await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());

    let mut buffer = [0; 1024];
    let closed = async {
        loop {
            stream.readable().await.unwrap();
            if matches!(stream.try_read(&mut buffer), Ok(0)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(6), closed).await.unwrap();
}
