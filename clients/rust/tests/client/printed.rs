use std::collections::BTreeMap;

use privyseal::Client;
use privyseal::v1::{
    Header, HttpRequest, ImportKeyRequest, LoginResponse, RotateKeyRequest, Session, SignRequest,
    SignResponse, SignedHttpRequest, WatchSessionResponse, import_key_request, rotate_key_request,
    sign_request, sign_response, watch_session_response,
};

use crate::certificates::Authority;

const SECRET: &str = "s3cr3t";

fn secret() -> String {
    SECRET.to_owned()
}

#[test]
fn no_debug_form_shows_a_secret() {
    let header = Header { name: "X-Signature".to_owned(), value: secret() };
    let session = Session {
        key: "keys/kiiex-main".to_owned(),
        token: secret(),
        headers: vec![header.clone()],
        ..Session::default()
    };
    let signed = SignedHttpRequest {
        url: format!("https://venue.example/order?signature={SECRET}"),
        headers: vec![header],
        body: secret().into(),
        ..SignedHttpRequest::default()
    };
    let request = HttpRequest {
        path: format!("/order?x={SECRET}"),
        body: secret().into(),
        ..HttpRequest::default()
    };
    let import = |material| ImportKeyRequest { material: Some(material), ..Default::default() };
    let rotate = |material| RotateKeyRequest { material: Some(material), ..Default::default() };
    let printed = [
        format!("{:#?}", LoginResponse { session: Some(session.clone()) }),
        format!(
            "{:?}",
            WatchSessionResponse { event: Some(watch_session_response::Event::Session(session)) }
        ),
        format!(
            "{:?}",
            SignResponse {
                result: Some(sign_response::Result::SignedHttpRequest(signed)),
                ..SignResponse::default()
            }
        ),
        format!(
            "{:?}",
            SignRequest {
                intent: Some(sign_request::Intent::HttpRequest(request)),
                ..SignRequest::default()
            }
        ),
        format!("{:?}", import(import_key_request::Material::Plaintext(secret().into()))),
        format!("{:?}", import(import_key_request::Material::WrappingToken(secret()))),
        format!("{:?}", rotate(rotate_key_request::Material::Plaintext(secret().into()))),
        format!("{:?}", rotate(rotate_key_request::Material::WrappingToken(secret()))),
    ];

    for text in printed {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    let fields = BTreeMap::from([("api_key".to_owned(), "public".to_owned())]);
    let import = ImportKeyRequest { key_id: "wb".to_owned(), fields, ..Default::default() };

    let text = format!("{import:?}");

    assert!(text.contains("wb") && text.contains("public"), "{text}");
}

#[test]
fn a_client_shows_its_settings_and_no_content_of_files() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("caller");
    let folder = authority.folder(&(certificate.clone(), key.clone()));
    folder.write("token", SECRET);
    let client = Client::builder().target("localhost:7443").tls(folder.tls());
    let client = client.token_file(folder.path("token")).build().unwrap();

    let text = format!("{client:?} {:?}", client.door("keys/whitebit-main"));

    assert!(text.contains("localhost:7443") && text.contains("keys/whitebit-main"), "{text}");
    for line in certificate.lines().chain(key.lines()).chain([SECRET]) {
        assert!(!text.contains(line), "{text}");
    }
}
