use std::time::Duration;

use privyseal::{Client, ClientBuilder, Tls};

use crate::certificates::{Authority, Folder};

fn refused(builder: ClientBuilder) -> &'static str {
    let error = builder.build().unwrap_err();
    assert!(!error.message().is_empty());
    Box::leak(error.setting().to_owned().into_boxed_str())
}

#[test]
fn settings_that_cannot_be_right_are_told_by_name() {
    let authority = Authority::new();
    let pair = authority.issue("caller");
    let folder = authority.folder(&pair);
    folder.write("token", "");
    folder.write("garbled.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let other = authority.folder(&authority.issue("other"));
    let to = |target: &str| Client::builder().target(target);
    let near = || to("localhost:1");
    let path = |name| folder.path(name);

    assert_eq!(refused(Client::builder().plaintext()), "target");
    assert_eq!(refused(to("localhost").plaintext()), "target");
    assert_eq!(refused(near().target("unix:/run/x.sock").plaintext()), "target");
    assert_eq!(refused(near()), "tls");
    assert_eq!(refused(near().tls(folder.tls()).plaintext()), "plaintext");
    assert_eq!(refused(to("192.0.2.1:1").plaintext()), "plaintext");
    assert_eq!(refused(to("localhost.example:1").plaintext()), "plaintext");
    assert_eq!(refused(near().plaintext().token_file(path("token"))), "token");
    assert_eq!(refused(near().tls(folder.tls()).token_file(path("token"))), "token_file");
    assert_eq!(refused(near().tls(folder.tls()).token_file(path("nowhere"))), "token_file");
    assert_eq!(refused(near().plaintext().timeout(Duration::ZERO)), "timeout");
    assert_eq!(refused(near().plaintext().max_attempts(0)), "max_attempts");
    assert_eq!(refused(near().tls(Tls::ca_file(path("nowhere")))), "tls.ca");
    assert_eq!(refused(near().tls(Tls::ca_file(path("token")))), "tls.ca");
    assert_eq!(refused(near().tls(Tls::ca_file(path("garbled.pem")))), "tls.ca");
    let (ca, key) = (path("ca.pem"), path("client-key.pem"));
    let none = Tls::files(&ca, path("token"), &key);
    assert_eq!(refused(near().tls(none)), "tls.certificate");
    let swapped = Tls::files(&ca, path("client.pem"), other.path("client-key.pem"));
    assert_eq!(refused(near().tls(swapped)), "tls.private_key");
    let no_key = Tls::files(&ca, path("client.pem"), path("client.pem"));
    assert_eq!(refused(near().tls(no_key)), "tls.private_key");
    assert_eq!(refused(near().tls(folder.tls().server_name("no name"))), "tls.server_name");
    assert_eq!(refused(to("unix:/run/x.sock").tls(folder.tls())), "tls.server_name");
}

#[test]
fn what_can_be_right_is_taken_without_a_runtime() {
    let folder = Folder::new();

    let socket = format!("unix:{}", folder.path("privyseal.sock").display());
    Client::builder().target(socket).plaintext().build().unwrap();
    for target in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1"] {
        Client::builder().target(target).plaintext().build().unwrap();
    }
}
