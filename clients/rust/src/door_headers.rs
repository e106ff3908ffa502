//! Which headers go out with a signed request.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::door_error::Refused;
use crate::v1::SignedHttpRequest;

const NEVER: [HeaderName; 13] = [
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    AUTHORIZATION,
    COOKIE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    UPGRADE,
    EXPECT,
];

/// Returns the signed headers, and those of the request itself that may go along.
pub(crate) fn outgoing_headers(
    own: &HeaderMap,
    signed: &SignedHttpRequest,
) -> Result<HeaderMap, Refused> {
    let mut headers = HeaderMap::with_capacity(own.len() + signed.headers.len());
    for header in &signed.headers {
        let unfit = |_| Refused(format!("the signed header {:?} is none of HTTP", header.name));
        let name: HeaderName = header.name.parse().map_err(|_| unfit(()))?;
        let mut value = HeaderValue::from_str(&header.value).map_err(|_| unfit(()))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let signed_names: Vec<HeaderName> = headers.keys().cloned().collect();
    for (name, value) in own {
        let goes_along = !signed_names.contains(name)
            && !NEVER.contains(name)
            && (name != CONTENT_TYPE || !signed.body.is_empty());
        if goes_along {
            headers.append(name, value.clone());
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Header;

    fn signed(headers: &[(&str, &str)], body: &'static str) -> SignedHttpRequest {
        let headers = headers
            .iter()
            .map(|(name, value)| Header { name: (*name).into(), value: (*value).into() })
            .collect();
        SignedHttpRequest { headers, body: body.into(), ..SignedHttpRequest::default() }
    }

    fn own(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = headers.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn signed_headers_win_and_others_go_along() {
        let own = own(&[("x-key", "theirs"), ("x-trace", "1"), ("accept", "*/*")]);

        let merged = outgoing_headers(&own, &signed(&[("X-Key", "signed")], "{}")).unwrap();

        assert_eq!(names(&merged), ["accept=*/*", "x-key=signed", "x-trace=1"]);
        assert!(merged["x-key"].is_sensitive());
    }

    #[test]
    fn headers_of_the_connection_and_credentials_stay_behind() {
        let own = own(&[
            ("host", "elsewhere"),
            ("content-length", "9"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("authorization", "Basic x"),
            ("cookie", "a=b"),
            ("proxy-connection", "keep-alive"),
            ("expect", "100-continue"),
        ]);

        assert!(outgoing_headers(&own, &signed(&[], "{}")).unwrap().is_empty());
    }

    #[test]
    fn content_type_is_the_signed_one_or_goes_with_a_body() {
        let own = own(&[("content-type", "text/plain")]);
        let json = [("Content-Type", "application/json")];

        let merged = outgoing_headers(&own, &signed(&json, "{}")).unwrap();
        assert_eq!(names(&merged), ["content-type=application/json"]);
        let merged = outgoing_headers(&own, &signed(&[], "{}")).unwrap();
        assert_eq!(names(&merged), ["content-type=text/plain"]);
        assert!(outgoing_headers(&own, &signed(&[], "")).unwrap().is_empty());
    }

    #[test]
    fn a_header_that_http_does_not_have_is_refused_without_its_value() {
        for bad in [("a b", "secret"), ("x", "secret\nx: y")] {
            let refused = outgoing_headers(&HeaderMap::new(), &signed(&[bad], "")).unwrap_err();

            assert!(!format!("{refused} {refused:?}").contains("secret"));
        }
    }
}
