//! A gRPC server that answers as a test tells it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use privyseal::Code;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A call that came in.
#[derive(Clone)]
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub message: Bytes,
}

pub type Reply = Result<Vec<u8>, (Code, &'static str)>;
type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;
type Answer = Arc<dyn Fn(Call) -> Answering + Send + Sync>;

#[derive(Default)]
pub struct Seen {
    pub calls: Vec<Call>,
    pub certificates: Vec<Vec<u8>>,
    pub connections: usize,
}

pub struct GrpcServer {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    goodbye: watch::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl GrpcServer {
    pub async fn start<F>(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let answer: Answer = Arc::new(move |call| Box::pin(answer(call)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let goodbye = watch::Sender::new(());
        let (all, ends) = (seen.clone(), goodbye.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answer, end) = (all.clone(), answer.clone(), ends.subscribe());
                let tls = tls.clone();
                tokio::spawn(async move {
                    seen.lock().unwrap().connections += 1;
                    match tls {
                        None => serve(stream, seen, answer, end).await,
                        Some(tls) => {
                            let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
                                return;
                            };
                            let proof = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                            seen.lock().unwrap().certificates.push(proof);
                            serve(stream, seen, answer, end).await;
                        }
                    }
                });
            }
        });
        Self { address, seen, goodbye, task }
    }

    pub fn target(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Has all connections take no more calls, and end when those under way are done.
    pub fn say_goodbye(&self) {
        self.goodbye.send_replace(());
    }

    pub fn calls(&self) -> Vec<Call> {
        self.seen.lock().unwrap().calls.clone()
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.task.abort();
        self.goodbye.send_replace(());
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Mutex<Seen>>,
    answer: Answer,
    mut goodbye: watch::Receiver<()>,
) {
    let service = service_fn(|request| reply(request, seen.clone(), answer.clone()));
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = goodbye.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn reply(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
    answer: Answer,
) -> Result<
    Response<http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>>,
    hyper::Error,
> {
    let (parts, body) = request.into_parts();
    let message = body.collect().await?.to_bytes().slice(5..);
    let call = Call { path: parts.uri.path().to_owned(), headers: parts.headers, message };
    seen.lock().unwrap().calls.push(call.clone());
    let mut trailers = HeaderMap::new();
    let mut framed = BytesMut::new();
    match answer(call).await {
        Ok(message) => {
            framed.put_u8(0);
            framed.put_u32(message.len() as u32);
            framed.put_slice(&message);
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Err((code, text)) => {
            trailers.insert("grpc-status", HeaderValue::from(code as i32));
            trailers.insert("grpc-message", HeaderValue::from_static(text));
        }
    }
    let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) }).boxed();
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}
