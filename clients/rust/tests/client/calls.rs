use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use privyseal::v1::{CreateKeyRequest, ListVenuesRequest, SignRequest};
use privyseal::{Client, Code};
use tokio::time::{sleep, timeout};

use crate::grpc_server::GrpcServer;

fn client(server: &GrpcServer) -> Client {
    Client::builder().target(server.target()).plaintext().build().unwrap()
}

#[tokio::test]
async fn each_attempt_sends_the_same_bytes() {
    let server = GrpcServer::start(None, |_| async { Err((Code::Unavailable, "down")) }).await;
    let labels = (0..50).map(|n| (format!("label-{n}"), n.to_string())).collect();
    let request =
        CreateKeyRequest { labels, request_id: "id".to_owned(), ..CreateKeyRequest::default() };

    let error = client(&server).with_max_attempts(3).create_key(request).await.unwrap_err();

    let calls = server.calls();
    assert_eq!((error.code(), error.message(), calls.len()), (Code::Unavailable, "down", 3));
    assert!(calls.iter().all(|call| call.message == calls[0].message));
}

#[tokio::test]
async fn a_dropped_call_ends_at_the_server_too() {
    struct Ended(Arc<Mutex<bool>>);
    impl Drop for Ended {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    let ended = Arc::new(Mutex::new(false));
    let flag = ended.clone();
    let server = GrpcServer::start(None, move |_| {
        let ended = Ended(flag.clone());
        async move {
            let _ended = ended;
            std::future::pending().await
        }
    })
    .await;

    let client = client(&server);
    let call = client.list_venues(ListVenuesRequest::default());
    assert!(timeout(Duration::from_millis(300), call).await.is_err());

    for _ in 0..100 {
        if *ended.lock().unwrap() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the server was not told");
}

#[tokio::test]
async fn the_deadline_covers_all_attempts_and_even_the_longest_timeout_is_taken() {
    let server = GrpcServer::start(None, |_| async { std::future::pending().await }).await;
    let client = client(&server);
    let request = SignRequest { request_id: "id".to_owned(), ..SignRequest::default() };

    let started = Instant::now();
    let hasty = client.with_timeout(Duration::from_millis(200));
    let error = hasty.sign(request.clone()).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (Code::DeadlineExceeded, false));
    assert!(started.elapsed() < Duration::from_secs(2));

    let patient = client.with_timeout(Duration::MAX);
    assert!(timeout(Duration::from_millis(200), patient.sign(request)).await.is_err());
}

#[tokio::test]
async fn a_server_that_says_goodbye_loses_no_call() {
    let server = GrpcServer::start(None, |_| async {
        sleep(Duration::from_millis(2)).await;
        Ok(Vec::new())
    })
    .await;
    let client = client(&server);
    let failed = Arc::new(AtomicU32::new(0));
    let callers = (0..8).map(|_| {
        let (client, failed) = (client.clone(), failed.clone());
        tokio::spawn(async move {
            for _ in 0..100 {
                if let Err(error) = client.list_venues(ListVenuesRequest::default()).await {
                    eprintln!("{error}");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for _ in 0..5 {
        sleep(Duration::from_millis(50)).await;
        server.say_goodbye();
    }
    for caller in callers {
        caller.await.unwrap();
    }

    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert!(server.seen.lock().unwrap().connections > 1);
}

#[test]
fn a_client_outlives_the_runtime_that_first_used_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (serving, first, second) = (
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        runtime(),
        runtime(),
    );
    let server = serving.block_on(GrpcServer::start(None, |_| async { Ok(Vec::new()) }));
    let client = client(&server);

    first.block_on(client.list_venues(ListVenuesRequest::default())).unwrap();
    drop(first);
    second.block_on(client.list_venues(ListVenuesRequest::default())).unwrap();
}
