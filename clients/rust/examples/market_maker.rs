//! Quotes both sides of a market for some rounds: places a bid and an ask around a mid price, and
//! cancels both. Every request is signed by Privyseal on its way out.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use privyseal::{Client, Tls};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::{Value, json};

const MARKET: &str = "BTC_USDT";
const MID_CENTS: u64 = 4_000_000;
const HALF_SPREAD_CENTS: u64 = 1_500;

struct Venue {
    http: ClientWithMiddleware,
    url: String,
}

impl Venue {
    async fn post(&self, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(format!("the venue answered {path} with {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    async fn place(&self, side: &str, price_cents: u64) -> Result<u64, Box<dyn Error>> {
        let price = format!("{}.{:02}", price_cents / 100, price_cents % 100);
        let order = json!({"market": MARKET, "side": side, "amount": "0.010", "price": price});
        let answer = self.post("/api/v4/order/new", &order).await?;
        let id = answer["orderId"].as_u64().ok_or("the venue gave no orderId")?;
        println!("{side} 0.010 {MARKET} at {price}: order {id}");
        Ok(id)
    }

    async fn cancel(&self, order: u64) -> Result<(), Box<dyn Error>> {
        let cancel = json!({"market": MARKET, "orderId": order});
        self.post("/api/v4/order/cancel", &cancel).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match quote().await {
        Ok((placed, cancelled)) => {
            println!("{placed} orders placed, {cancelled} cancelled");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn quote() -> Result<(u64, u64), Box<dyn Error>> {
    let tls = PathBuf::from(env::var("PRIVYSEAL_TLS")?);
    let files = Tls::files(tls.join("ca.pem"), tls.join("client.pem"), tls.join("client-key.pem"));
    let client = Client::builder().target(env::var("PRIVYSEAL_TARGET")?).tls(files).build()?;
    let http = ClientBuilder::new(privyseal::http_client_builder().build()?)
        .with(client.door("keys/whitebit-main"))
        .build();
    let venue = Venue { http, url: env::var("VENUE_URL")? };
    let rounds: u64 = env::var("ROUNDS").map_or(Ok(3), |rounds| rounds.parse())?;

    let (mut placed, mut cancelled) = (0, 0);
    for round in 0..rounds {
        let mid = MID_CENTS + 100 * round;
        let bid = venue.place("buy", mid - HALF_SPREAD_CENTS).await?;
        let ask = venue.place("sell", mid + HALF_SPREAD_CENTS).await?;
        placed += 2;
        for order in [bid, ask] {
            venue.cancel(order).await?;
            cancelled += 1;
        }
    }
    Ok((placed, cancelled))
}
