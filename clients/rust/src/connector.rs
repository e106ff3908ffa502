//! Makes one connection: TCP or a Unix socket, TLS, HTTP/2.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use crate::balancer::Endpoint;
use crate::first_word::FirstWord;
use crate::target::Target;
use crate::tls::LiveTls;

const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// An open connection; clones are the same one.
#[derive(Clone)]
pub(crate) struct Connection {
    pub requests: SendRequest<Body>,
    pub scheme: Scheme,
    pub authority: Authority,
}

impl Connection {
    pub(crate) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }
}

/// Comes true when a connection takes no more RPCs.
pub(crate) type End = JoinHandle<hyper::Result<()>>;

pub(crate) struct Connector {
    tls: Option<Arc<LiveTls>>,
}

impl Connector {
    pub(crate) fn new(tls: Option<LiveTls>) -> Self {
        Self { tls: tls.map(Arc::new) }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn tls(&self) -> Option<&LiveTls> {
        self.tls.as_deref()
    }

    /// Returns a connection whose server has spoken, and its end. Fails with what to
    /// tell the caller.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        endpoint: &Endpoint,
    ) -> Result<(Connection, End), String> {
        let unreachable =
            |error| format!("no connection to {target}: {error}; is the server running there?");
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                self.secure(target, stream).await
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(unreachable)?;
                self.secure(target, stream).await
            }
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(format!("{target}: this system has no Unix sockets")),
        }
    }

    async fn secure<S>(&self, target: &Target, stream: S) -> Result<(Connection, End), String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(tls) = self.tls.clone() else {
            return begin(target, Scheme::HTTP, Box::new(stream)).await;
        };
        let host = match target {
            Target::Host { host, .. } => host.as_str(),
            Target::Unix(_) => "localhost",
        };
        let name = tls.server_name(host).ok_or_else(|| {
            format!("{host} is no name that a certificate can have; set a server name")
        })?;
        // The files may lie on a slow disk.
        let config = tokio::task::spawn_blocking(move || tls.config()).await;
        let config = config.map_err(|_| "the TLS files could not be read".to_owned())?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
            format!(
                "TLS handshake with {target} failed: {error}; check the CA file, the name in the \
                 server's certificate, and that the server speaks TLS 1.3 there"
            )
        })?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(format!("{target} does not speak HTTP/2; is it a Privyseal server?"));
        }
        begin(target, Scheme::HTTPS, Box::new(stream)).await
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn begin(
    target: &Target,
    scheme: Scheme,
    stream: Box<dyn Stream>,
) -> Result<(Connection, End), String> {
    let silent = |why: &str| {
        format!(
            "{target} ended the connection before it spoke HTTP/2{why}; is it a Privyseal server, \
             and does it accept this client's certificate?"
        )
    };
    let (heard, first_word) = oneshot::channel::<io::Result<()>>();
    let stream = TokioIo::new(FirstWord::new(stream, heard));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .keep_alive_while_idle(true);
    let (requests, connection) =
        builder.handshake(stream).await.map_err(|error| silent(&format!(": {error}")))?;
    // Lives on by itself, so that RPCs under way end well when the address is given up.
    let connection: End = tokio::spawn(connection);
    match first_word.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(silent(&format!(": {error}")));
        }
        Ok(Err(_)) | Err(_) => return Err(silent("")),
    }
    Ok((Connection { requests, scheme, authority: target.authority() }, connection))
}
