//! The door for `reqwest`: a middleware of `reqwest_middleware`.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Extensions;
use http_body::{Body, Frame, SizeHint};
use reqwest::{Request, Response, ResponseBuilderExt, Url};
use reqwest_middleware::{Error as ReqwestError, Middleware, Next};
use tokio::time::{Duration, timeout};

use crate::door::{REPORTED, changed, method};
use crate::door_headers::outgoing_headers;
use crate::{Door, DoorError, Receipt, Refused};

const READ_WITHIN: Duration = Duration::from_secs(2);

/// Settings for a `reqwest::Client` under a [`Door`]: it follows no redirects and repeats nothing
/// by itself, since what is signed is signed for one sending.
pub fn http_client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
}

#[async_trait::async_trait]
impl Middleware for Door {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let asked = request.url().clone();
        let (request, receipt) = self.sign_reqwest(request).await.map_err(into_reqwest)?;
        let url = request.url().clone();
        let answer = next.run(request, extensions).await.map_err(|error| match error {
            // The signed URL may hold the signature.
            ReqwestError::Reqwest(error) => ReqwestError::Reqwest(error.with_url(asked.clone())),
            error => error,
        })?;
        if *answer.url() != url {
            let why = "a redirect was followed with the old signature, and its answer is not given; \
                       make the client with privyseal::http_client_builder()";
            return Err(into_reqwest(Refused::new(why).into()));
        }
        Ok(self.report_reqwest(&receipt, answer, asked).await)
    }
}

impl Door {
    async fn sign_reqwest(&self, mut request: Request) -> Result<(Request, Receipt), DoorError> {
        let body = match request.body_mut().take() {
            Some(body) => self.read(body).await?,
            None => Bytes::new(),
        };
        let url = request.url();
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let (signed, receipt) =
            self.sign_parts(request.method(), path, request.headers(), body).await?;
        let url: Url = signed.url.parse().map_err(|_| changed())?;
        let has_more = url.fragment().is_some() || !url.username().is_empty();
        if url.as_str() != signed.url || has_more || url.password().is_some() {
            return Err(changed().into());
        }
        *request.url_mut() = url;
        *request.method_mut() = method(&signed)?;
        *request.headers_mut() = outgoing_headers(request.headers(), &signed)?;
        if !signed.body.is_empty() {
            // As a stream, so that nothing below can send it twice.
            *request.body_mut() = Some(reqwest::Body::wrap(Pieces::once(signed.body)));
        }
        Ok((request, receipt))
    }

    async fn read(&self, mut body: reqwest::Body) -> Result<Bytes, DoorError> {
        if let Some(bytes) = body.as_bytes() {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        let mut read = BytesMut::new();
        while let Some(frame) = next_frame(&mut body).await {
            let frame = frame.map_err(|_| Refused::new("the request's body can't be read"))?;
            if let Ok(data) = frame.into_data() {
                if read.len() + data.len() > self.max_body_bytes {
                    return Err(self.too_long().into());
                }
                read.extend_from_slice(&data);
            }
        }
        Ok(read.freeze())
    }

    /// Reports an answer, and returns it whole, as the answer of the URL that was asked.
    async fn report_reqwest(&self, receipt: &Receipt, answer: Response, asked: Url) -> Response {
        let status = answer.status().as_u16();
        let (mut parts, mut rest) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let url =
            http::Response::builder().url(asked).body(()).map(|with_url| with_url.into_parts());
        if let Ok((with_url, ())) = url {
            parts.extensions.extend(with_url.extensions);
        }
        if !self.reports(status) {
            return Response::from(http::Response::from_parts(parts, rest));
        }
        let (mut frames, mut head) = (VecDeque::new(), BytesMut::new());
        // A venue that is slow here is read on by the caller.
        let reporting = async {
            while head.len() < REPORTED
                && let Some(frame) = next_frame(&mut rest).await
            {
                if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
                    head.extend_from_slice(data);
                }
                let is_broken = frame.is_err();
                frames.push_back(frame);
                if is_broken {
                    break;
                }
            }
            head.truncate(REPORTED);
            let head = std::mem::take(&mut head).freeze();
            self.report_parts(receipt, status, &parts.headers, head).await;
        };
        let _ = timeout(READ_WITHIN, reporting).await;
        let body = reqwest::Body::wrap(Pieces { frames, rest: Some(rest) });
        Response::from(http::Response::from_parts(parts, body))
    }
}

fn into_reqwest(error: DoorError) -> ReqwestError {
    match error {
        DoorError::Failed(error) => ReqwestError::middleware(error),
        DoorError::Refused(refused) => ReqwestError::middleware(refused),
    }
}

async fn next_frame(body: &mut reqwest::Body) -> Option<Result<Frame<Bytes>, reqwest::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// A body of which some has been read.
struct Pieces {
    frames: VecDeque<Result<Frame<Bytes>, reqwest::Error>>,
    rest: Option<reqwest::Body>,
}

impl Pieces {
    fn once(bytes: Bytes) -> Self {
        Self { frames: VecDeque::from([Ok(Frame::data(bytes))]), rest: None }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(frame.map_err(Into::into)));
        }
        let frame = match &mut self.rest {
            Some(rest) => ready!(Pin::new(rest).poll_frame(cx)),
            None => None,
        };
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read: usize = self
            .frames
            .iter()
            .filter_map(|frame| frame.as_ref().ok()?.data_ref())
            .map(Bytes::len)
            .sum();
        let (mut hint, read) = (SizeHint::new(), read as u64);
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
