use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, Method, Request, Response};
use prost_types::Timestamp;

use crate::door_error::{DoorError, Refused};
use crate::door_headers::outgoing_headers;
use crate::v1::sign_request::Intent;
use crate::v1::sign_response::Result as Signed;
use crate::v1::{
    ErrorReason, HttpRequest, LoginRequest, ReportAnswerRequest, SignRequest, SignedHttpRequest,
};
use crate::{Client, random};

const MAX_BODY: usize = 1024 * 1024;
const REPORT_WITHIN: Duration = Duration::from_secs(2);
pub(crate) const REPORTED: usize = 64 * 1024;

/// Signs HTTP requests as they come, with one key. Made by [`Client::door`].
///
/// With the feature `reqwest` it is a middleware of `reqwest_middleware`. With any other library,
/// [`sign`](Self::sign) a request, send what it returns, and [`report`](Self::report) the answer.
#[derive(Clone, Debug)]
pub struct Door {
    client: Client,
    key: String,
    logs_in: bool,
    reported: Report,
    pub(crate) max_body_bytes: usize,
}

/// Which answers of a venue Privyseal is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// Those with an HTTP status of 400 or more.
    Errors,
    /// All, for venues that say some errors with HTTP 200.
    All,
    /// None.
    None,
}

/// What belongs to a signed request, to report its answer with.
#[derive(Clone, Debug)]
pub struct Receipt {
    sign_time: Option<Timestamp>,
    nonce: String,
}

impl Door {
    pub(crate) fn new(client: Client, key: String) -> Self {
        Self { client, key, logs_in: true, reported: Report::Errors, max_body_bytes: MAX_BODY }
    }

    /// Whether to log in, once, when the key needs a session and there is none; it does unless
    /// this says otherwise.
    #[must_use]
    pub fn login(mut self, logs_in: bool) -> Self {
        self.logs_in = logs_in;
        self
    }

    /// Which answers Privyseal is told of: errors, unless this says otherwise.
    #[must_use]
    pub fn reporting(mut self, reported: Report) -> Self {
        self.reported = reported;
        self
    }

    /// The longest body that is signed, in bytes: 1 MiB unless this says otherwise.
    #[must_use]
    pub fn max_body_bytes(mut self, max_body_bytes: usize) -> Self {
        self.max_body_bytes = max_body_bytes;
        self
    }

    /// Returns the request to send, signed anew by each call, and what to report its answer with.
    ///
    /// Method, path, query, body and `Content-Type` are signed. Scheme and host of the request do
    /// not matter. Send what is returned unchanged, once, and follow no redirect with it.
    ///
    /// # Errors
    ///
    /// When Privyseal refuses, or the body is too long.
    pub async fn sign(
        &self,
        request: Request<Bytes>,
    ) -> Result<(Request<Bytes>, Receipt), DoorError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (signed, receipt) = self.sign_parts(&parts.method, path, &parts.headers, body).await?;
        parts.uri = signed.url.parse().map_err(|_| changed())?;
        if parts.uri.to_string() != signed.url {
            return Err(changed().into());
        }
        parts.method = method(&signed)?;
        parts.headers = outgoing_headers(&parts.headers, &signed)?;
        Ok((Request::from_parts(parts, signed.body), receipt))
    }

    /// Tells Privyseal of an answer, if this door reports such. It takes 2 s at most, and nothing
    /// comes of it when it fails. The body's first 64 KiB are enough.
    pub async fn report(&self, receipt: &Receipt, answer: &Response<impl AsRef<[u8]>>) {
        let (status, body) = (answer.status().as_u16(), answer.body().as_ref());
        if self.reports(status) {
            let body = Bytes::copy_from_slice(&body[..body.len().min(REPORTED)]);
            self.report_parts(receipt, status, answer.headers(), body).await;
        }
    }

    pub(crate) fn reports(&self, status: u16) -> bool {
        match self.reported {
            Report::Errors => status >= 400,
            Report::All => true,
            Report::None => false,
        }
    }

    pub(crate) async fn report_parts(
        &self,
        receipt: &Receipt,
        status: u16,
        headers: &HeaderMap,
        body: Bytes,
    ) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok()).unwrap_or_default();
        let request = ReportAnswerRequest {
            key: self.key.clone(),
            http_status: status.into(),
            body,
            sign_time: receipt.sign_time,
            nonce: receipt.nonce.clone(),
            date: date.to_owned(),
        };
        // The caller gets the venue's answer whatever comes of this.
        let _ = self.client.with_timeout(REPORT_WITHIN).report_answer(request).await;
    }

    /// Signs a request, by its path with the query.
    pub(crate) async fn sign_parts(
        &self,
        method: &Method,
        path: String,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(SignedHttpRequest, Receipt), DoorError> {
        if body.len() > self.max_body_bytes {
            return Err(self.too_long().into());
        }
        let content_type = match headers.get(CONTENT_TYPE).map(|value| value.to_str()) {
            None => "",
            Some(Ok(text)) => text,
            Some(Err(_)) => return Err(Refused::new("Content-Type is not ASCII").into()),
        };
        let request = SignRequest {
            key: self.key.clone(),
            intent: Some(Intent::HttpRequest(HttpRequest {
                method: method.to_string(),
                path,
                body,
                content_type: content_type.to_owned(),
                ..HttpRequest::default()
            })),
            request_id: self.request_id(),
            ..SignRequest::default()
        };
        let answer = match self.client.sign(request.clone()).await {
            Err(error) if self.logs_in && error.is(ErrorReason::SessionMissing) => {
                let login = LoginRequest { key: self.key.clone(), ..LoginRequest::default() };
                self.client.login(login).await?;
                let request_id = self.request_id();
                self.client.sign(SignRequest { request_id, ..request }).await?
            }
            answer => answer?,
        };
        let receipt = Receipt { sign_time: answer.sign_time, nonce: answer.nonce };
        match answer.result {
            Some(Signed::SignedHttpRequest(signed)) => Ok((signed, receipt)),
            _ => {
                Err(Refused::new("the server signed no HTTP request; is it of this release?")
                    .into())
            }
        }
    }

    pub(crate) fn too_long(&self) -> Refused {
        Refused(format!(
            "the body is longer than {} bytes, which this door signs at most; see max_body_bytes",
            self.max_body_bytes
        ))
    }

    /// An id makes a Sign repeatable, so there is none where nothing is to be repeated.
    fn request_id(&self) -> String {
        if self.client.max_attempts == 1 { String::new() } else { random::uuid() }
    }
}

/// Refuses to send what is not, byte for byte, what was signed.
pub(crate) fn changed() -> Refused {
    Refused::new(
        "the signed URL can't be sent as it is; write the request's path and query so \
                  that nothing in them needs other encoding",
    )
}

pub(crate) fn method(signed: &SignedHttpRequest) -> Result<Method, Refused> {
    signed.method.parse().map_err(|_| Refused::new("the signed method is none of HTTP"))
}
