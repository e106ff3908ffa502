use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response, Uri, uri};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

use crate::balancer::Balancer;
use crate::failure::status_of;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("privyseal-rust/", env!("CARGO_PKG_VERSION")));

const DETAILS: &str = "grpc-status-details-bin";

/// The connections of a client, for calls by generated stubs: they get its addresses, TLS and
/// keepalive, but no deadline, no token and no retry.
///
/// ```ignore
/// let mut stub = SigningServiceClient::new(client.channel());
/// ```
#[derive(Clone)]
pub struct Channel(pub(crate) Arc<Balancer>);

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets: Vec<String> = self.0.targets().iter().map(ToString::to_string).collect();
        f.debug_struct("Channel").field("targets", &targets).finish()
    }
}

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let balancer = self.0.clone();
        Box::pin(async move {
            loop {
                let mut connection = balancer.connection().await?;
                let mut place = uri::Parts::default();
                place.scheme = Some(connection.scheme.clone());
                place.authority = Some(connection.authority.clone());
                place.path_and_query = request.uri().path_and_query().cloned();
                *request.uri_mut() =
                    Uri::from_parts(place).map_err(|error| Status::internal(error.to_string()))?;
                match connection.requests.try_send_request(request).await {
                    Ok(mut response) => {
                        drop_broken_details(response.headers_mut());
                        return Ok(response.map(ResponseBody));
                    }
                    // The connection had ended before anything was sent: another one takes it.
                    Err(mut failed) => match failed.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(status_of(failed.error())),
                    },
                }
            }
        })
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct ResponseBody(hyper::body::Incoming);

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut())
        {
            drop_broken_details(trailers);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| status_of(&error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Drops the details of a status if they are no base64, which tonic panics at.
fn drop_broken_details(headers: &mut HeaderMap) {
    if let Some(value) = headers.get(DETAILS) {
        let alone = HeaderMap::from_iter([(HeaderName::from_static(DETAILS), value.clone())]);
        let alone = MetadataMap::from_headers(alone);
        if alone.get_bin(DETAILS).is_none_or(|value| value.to_bytes().is_err()) {
            headers.remove(DETAILS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_that_are_no_base64_are_dropped() {
        for (value, stays) in [("CAUSAA", true), ("CAUSAA==", true), ("!", false)] {
            let value = HeaderValue::from_static(value);
            let mut headers = HeaderMap::from_iter([(HeaderName::from_static(DETAILS), value)]);

            drop_broken_details(&mut headers);

            assert_eq!(headers.contains_key(DETAILS), stays);
            // Would panic otherwise.
            headers.insert("grpc-status", HeaderValue::from_static("5"));
            assert!(Status::from_header_map(&headers).is_some());
        }
    }
}
