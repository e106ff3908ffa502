use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use privyseal::{Client, Door, Report};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{Outcome, number, text};

/// What was answered: status, headers, body.
type Answer = (u16, HeaderMap, Bytes);

pub async fn send(client: Client, command: &Value) -> Outcome {
    let client = match number(command, "timeout_ms") {
        Some(ms) => client.with_timeout(Duration::from_millis(ms)),
        None => client,
    };
    let mut door = client.door(text(command, "key"));
    if command["login"] == false {
        door = door.login(false);
    }
    door = match command["report"].as_str() {
        Some("all") => door.reporting(Report::All),
        Some("none") => door.reporting(Report::None),
        _ => door,
    };
    if let Some(bytes) = number(command, "max_body_bytes") {
        door = door.max_body_bytes(bytes as usize);
    }
    let (status, headers, body) = match text(command, "door") {
        "reqwest" => by_reqwest(door, command).await?,
        "http" => by_hyper(door, command).await?,
        other => return Err(Failure::usage(format!("there is no door {other:?}"))),
    };
    let headers: Vec<(&str, String)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    Ok(json!({"status": status, "headers": headers, "body": STANDARD.encode(body)}))
}

async fn by_reqwest(door: Door, command: &Value) -> Result<Answer, Failure> {
    let plain = privyseal::http_client_builder().build().map_err(as_http)?;
    let http = reqwest_middleware::ClientBuilder::new(plain).with(door).build();
    let url = text(command, "url").parse().map_err(as_http)?;
    let mut request = reqwest::Request::new(text(command, "method").parse().map_err(as_http)?, url);
    *request.headers_mut() = headers_of(command)?;
    if let Some(body) = body_of(command)? {
        *request.body_mut() = Some(body.into());
    }
    if let Some(ms) = number(command, "timeout_ms") {
        *request.timeout_mut() = Some(Duration::from_millis(ms));
    }
    for _ in 1..number(command, "times").unwrap_or(1) {
        let again = request.try_clone();
        http.execute(again.ok_or_else(|| Failure::usage("not to be cloned".into()))?).await?;
    }
    let answer = http.execute(request).await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok((status, headers, answer.bytes().await.map_err(as_http)?))
}

async fn by_hyper(door: Door, command: &Value) -> Result<Answer, Failure> {
    let http = Hyper::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut request = http::Request::new(body_of(command)?.unwrap_or_default());
    *request.method_mut() = text(command, "method").parse().map_err(as_http)?;
    *request.uri_mut() = text(command, "url").parse().map_err(as_http)?;
    *request.headers_mut() = headers_of(command)?;
    for _ in 1..number(command, "times").unwrap_or(1) {
        once_by_hyper(&door, &http, request.clone()).await?;
    }
    once_by_hyper(&door, &http, request).await
}

async fn once_by_hyper(
    door: &Door,
    http: &Hyper<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    request: http::Request<Bytes>,
) -> Result<Answer, Failure> {
    let (signed, receipt) = door.sign(request).await?;
    let (parts, body) = http.request(signed.map(Full::new)).await.map_err(as_http)?.into_parts();
    let body = body.collect().await.map_err(as_http)?.to_bytes();
    let answer = http::Response::from_parts(parts, body);
    door.report(&receipt, &answer).await;
    let (parts, body) = answer.into_parts();
    Ok((parts.status.as_u16(), parts.headers, body))
}

fn headers_of(command: &Value) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for pair in command["headers"].as_array().into_iter().flatten() {
        let name = HeaderName::try_from(pair[0].as_str().unwrap_or_default()).map_err(as_http)?;
        let value = HeaderValue::from_str(pair[1].as_str().unwrap_or_default()).map_err(as_http)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn body_of(command: &Value) -> Result<Option<Bytes>, Failure> {
    match &command["body"] {
        Value::String(body) => Ok(Some(STANDARD.decode(body).map_err(as_http)?.into())),
        _ => Ok(None),
    }
}

fn as_http(error: impl std::error::Error) -> Failure {
    Failure::plain("HTTP", &error.to_string(), &error)
}
