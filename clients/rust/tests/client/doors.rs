use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use privyseal::v1::sign_request::Intent;
use privyseal::v1::{
    Header, ReportAnswerRequest, SignRequest, SignResponse, SignedHttpRequest, sign_response,
};
use privyseal::{Client, Door, DoorError, Refused, Report};
use prost::Message;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error as ReqwestError};

use crate::grpc_server::GrpcServer;
use crate::venue::Venue;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Signs by a header that counts, and by a base URL that may be odd.
async fn signer(base: String) -> GrpcServer {
    let count = AtomicU32::new(0);
    GrpcServer::start(None, move |call| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let base = base.clone();
        async move {
            if !call.path.ends_with("/Sign") {
                return Ok(Vec::new());
            }
            let request = SignRequest::decode(call.message).unwrap();
            let Some(Intent::HttpRequest(asked)) = request.intent else { panic!("no request") };
            let signed = SignedHttpRequest {
                method: asked.method,
                url: base + &asked.path,
                headers: vec![Header { name: "X-Nonce".to_owned(), value: number.to_string() }],
                body: asked.body,
            };
            let result = Some(sign_response::Result::SignedHttpRequest(signed));
            Ok(SignResponse { result, ..SignResponse::default() }.encode_to_vec())
        }
    })
    .await
}

fn door(signer: &GrpcServer) -> Door {
    let client = Client::builder().target(signer.address.to_string()).plaintext().build().unwrap();
    client.door("keys/x")
}

fn http(door: Door) -> ClientWithMiddleware {
    ClientBuilder::new(privyseal::http_client_builder().build().unwrap()).with(door).build()
}

fn refusal(error: ReqwestError) -> String {
    let ReqwestError::Middleware(cause) = error else { panic!("{error}") };
    cause.downcast_ref::<Refused>().unwrap().to_string()
}

fn reports(signer: &GrpcServer) -> Vec<ReportAnswerRequest> {
    let calls = signer.calls().into_iter().filter(|call| call.path.ends_with("/ReportAnswer"));
    calls.map(|call| ReportAnswerRequest::decode(call.message).unwrap()).collect()
}

#[tokio::test]
async fn what_was_signed_is_on_the_wire() {
    let venue = Venue::start(OK).await;
    let signer = signer(venue.url.clone()).await;
    let http = http(door(&signer));

    let request =
        http.post("http://ignored.example/a%2Fb+c?x=%7B1%7D&y=a+b&&z=é").body("{\"é\": 1}");
    let request = request.header("authorization", "Basic x").build().unwrap();
    for _ in 0..2 {
        let answer = http.execute(request.try_clone().unwrap()).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
    }

    let seen = venue.requests();
    for (number, request) in seen.iter().enumerate() {
        let line = "POST /a%2Fb+c?x=%7B1%7D&y=a+b&&z=%C3%A9 HTTP/1.1\r\n";
        assert!(request.starts_with(line), "{request}");
        assert!(request.contains(&format!("\r\nx-nonce: {number}\r\n")), "{request}");
        assert!(request.contains("\r\ncontent-length: 9\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n{\"é\": 1}"), "{request}");
        for absent in ["transfer-encoding", "content-type", "authorization", "ignored.example"] {
            assert!(!request.contains(absent), "{request}");
        }
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn urls_that_would_be_written_otherwise_are_not_sent() {
    let venue = Venue::start(OK).await;
    for odd in ["/a b", "/a/../b", "/'\"", "/é", "#x", ":0x50", "\\x"] {
        let signer = signer(format!("{}{odd}", venue.url)).await;
        let door = door(&signer);

        let error = http(door.clone()).get(format!("{}/path", venue.url)).send().await.unwrap_err();
        assert!(refusal(error).contains("can't be sent as it is"), "{odd}");

        let request = http::Request::get("http://x/path").body(Bytes::new()).unwrap();
        if !matches!(odd, "/a/../b" | "/'\"" | "/é") {
            assert!(matches!(door.sign(request).await, Err(DoorError::Refused(_))), "{odd}");
        }
    }
    assert!(venue.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_that_was_followed_is_an_error() {
    let end = Venue::start(OK).await;
    let redirect = format!(
        "HTTP/1.1 307 Go\r\nlocation: {}/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        end.url
    );
    let venue = Venue::start(redirect).await;
    let signer = signer(venue.url.clone()).await;
    let follows = ClientBuilder::new(reqwest::Client::new()).with(door(&signer)).build();

    let error = follows.get(format!("{}/x", venue.url)).send().await.unwrap_err();
    assert!(refusal(error).contains("redirect"));
    // A signed body can't be sent twice, not even by a client that would.
    let answer = follows.post(format!("{}/x", venue.url)).body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 307);
    let answer = http(door(&signer)).get(format!("{}/x", venue.url)).send().await.unwrap();
    assert_eq!(answer.status(), 307);

    assert_eq!(end.requests().len(), 1);
}

/// Signs by the query, as some venues want it.
async fn query_signer(base: String) -> GrpcServer {
    GrpcServer::start(None, move |call| {
        let url = format!("{base}/a?signature=s3cr3t");
        async move {
            let request = SignRequest::decode(call.message).unwrap();
            let Some(Intent::HttpRequest(asked)) = request.intent else { return Ok(Vec::new()) };
            let signed =
                SignedHttpRequest { method: asked.method, url, ..SignedHttpRequest::default() };
            let result = Some(sign_response::Result::SignedHttpRequest(signed));
            Ok(SignResponse { result, ..SignResponse::default() }.encode_to_vec())
        }
    })
    .await
}

#[tokio::test]
async fn neither_errors_nor_answers_show_the_signed_url() {
    let cut = "HTTP/1.1 400 Bad\r\nconnection: close\r\ncontent-length: 9\r\n\r\ncut";
    for (answer, reported) in
        [(OK, Report::None), (OK, Report::All), (cut, Report::Errors), ("", Report::None)]
    {
        let venue = Venue::start(answer).await;
        let signer = query_signer(venue.url.clone()).await;
        let http = http(door(&signer).reporting(reported));

        let mut shown = String::new();
        match http.get("http://asked.example/a").send().await {
            Ok(answer) => {
                assert_eq!(answer.url().as_str(), "http://asked.example/a");
                shown += &format!("{answer:?} {:?}", answer.error_for_status_ref());
                shown += &format!("{:?}", answer.bytes().await);
            }
            Err(error) => shown += &format!("{error:?} {error} {error:#?}"),
        }
        assert!(venue.requests()[0].contains("s3cr3t"));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}

#[tokio::test]
async fn a_long_answer_is_reported_by_its_beginning_and_given_whole() {
    let body = "0123456789abcdef".repeat(20_000);
    let head = "HTTP/1.1 418 No\r\ndate: Sun\r\nconnection: close\r\ncontent-length";
    let venue = Venue::start(format!("{head}: {}\r\n\r\n{body}", body.len())).await;
    let signer = signer(venue.url.clone()).await;

    let answer = http(door(&signer)).get(format!("{}/x", venue.url)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.content_length()), (418, Some(320_000)));
    assert_eq!(answer.text().await.unwrap(), body);
    let silent = http(door(&signer).reporting(Report::None));
    silent.get(format!("{}/x", venue.url)).send().await.unwrap();

    let reports = reports(&signer);
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].http_status, reports[0].date.as_str()), (418, "Sun"));
    assert_eq!(reports[0].body, &body.as_bytes()[..65_536]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_given_as_far_as_it_came() {
    let head = "HTTP/1.1 500 Oh\r\nconnection: close\r\ncontent-length: 100\r\n\r\nbegun";
    let venue = Venue::start(head).await;
    let signer = signer(venue.url.clone()).await;

    let answer = http(door(&signer)).get(format!("{}/x", venue.url)).send().await.unwrap();

    assert_eq!(answer.status(), 500);
    assert!(answer.bytes().await.is_err());
    assert_eq!(reports(&signer)[0].body, "begun");
}

#[tokio::test]
async fn a_streamed_body_is_read_up_to_the_bound() {
    let venue = Venue::start(OK).await;
    let signer = signer(venue.url.clone()).await;
    let http = http(door(&signer).max_body_bytes(4));
    let streamed =
        |text: &'static str| reqwest::Body::wrap(http_body_util::Full::new(Bytes::from(text)));

    http.post(format!("{}/x", venue.url)).body(streamed("1234")).send().await.unwrap();
    for body in [streamed("12345"), reqwest::Body::from("12345")] {
        let error = http.post(format!("{}/x", venue.url)).body(body).send().await.unwrap_err();
        assert!(refusal(error).contains("longer than 4 bytes"));
    }

    assert_eq!(venue.requests().len(), 1);
    assert!(venue.requests()[0].ends_with("\r\n\r\n1234"));
    assert_eq!(signer.calls().len(), 1);
}

#[tokio::test]
async fn what_is_below_the_door_cannot_send_a_signed_body_twice() {
    struct Below(Arc<Mutex<Vec<bool>>>);
    #[async_trait::async_trait]
    impl reqwest_middleware::Middleware for Below {
        async fn handle(
            &self,
            request: reqwest::Request,
            extensions: &mut http::Extensions,
            next: reqwest_middleware::Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            self.0.lock().unwrap().push(request.try_clone().is_some());
            next.run(request, extensions).await
        }
    }
    let venue = Venue::start(OK).await;
    let signer = signer(venue.url.clone()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let plain = privyseal::http_client_builder().build().unwrap();
    let http = ClientBuilder::new(plain).with(door(&signer)).with(Below(seen.clone())).build();

    http.post(format!("{}/x", venue.url)).body("{}").send().await.unwrap();

    assert_eq!(*seen.lock().unwrap(), [false]);
}
