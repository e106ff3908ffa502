use privyseal::{Client, Tls};
use std::{env, path::PathBuf};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tls = PathBuf::from(env::var("PRIVYSEAL_TLS")?);
    let files = Tls::files(tls.join("ca.pem"), tls.join("client.pem"), tls.join("client-key.pem"));
    let client = Client::builder().target(env::var("PRIVYSEAL_TARGET")?).tls(files).build()?;

    let http = reqwest_middleware::ClientBuilder::new(privyseal::http_client_builder().build()?)
        .with(client.door("keys/whitebit-main")) // the line that signs
        .build();

    let url = env::var("VENUE_URL")? + "/api/v4/trade-account/balance";
    let answer = http.post(url).body(r#"{"ticker":"BTC"}"#).send().await?;
    println!("{} {}", answer.status(), answer.text().await?);
    Ok(())
}
