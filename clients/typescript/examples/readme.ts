import { PrivysealClient } from "@privyseal/client";

const { PRIVYSEAL_TARGET = "localhost:7443", PRIVYSEAL_TLS = "tls" } = process.env;
const { VENUE_URL = "https://whitebit.com" } = process.env;
const client = new PrivysealClient({
  target: PRIVYSEAL_TARGET,
  tls: {
    ca: `${PRIVYSEAL_TLS}/ca.pem`,
    certificate: `${PRIVYSEAL_TLS}/client.pem`,
    privateKey: `${PRIVYSEAL_TLS}/client-key.pem`,
  },
});
const fetch = client.fetch("keys/whitebit-main"); // the one line

const url = `${VENUE_URL}/api/v4/trade-account/balance`;
const answer = await fetch(url, { method: "POST", body: JSON.stringify({ ticker: "BTC" }) });
console.log(answer.status, await answer.text());
client.close();
