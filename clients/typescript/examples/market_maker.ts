import { PrivysealClient } from "@privyseal/client";

const MARKET = "BTC_USDT";
const MID = 60_000;
const SPREAD = 20;

interface Order {
  readonly orderId: number;
}

const { PRIVYSEAL_TARGET = "localhost:7443", PRIVYSEAL_TLS = "tls" } = process.env;
const { VENUE_URL = "https://whitebit.com", ROUNDS = "3" } = process.env;

const client = new PrivysealClient({
  target: PRIVYSEAL_TARGET,
  tls: {
    ca: `${PRIVYSEAL_TLS}/ca.pem`,
    certificate: `${PRIVYSEAL_TLS}/client.pem`,
    privateKey: `${PRIVYSEAL_TLS}/client-key.pem`,
  },
});
const signedFetch = client.fetch("keys/whitebit-main");

async function post(path: string, parameters: object): Promise<unknown> {
  const answer = await signedFetch(`${VENUE_URL}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(parameters),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await answer.text();
  if (!answer.ok) {
    throw new Error(`${path}: HTTP ${answer.status.toString()} ${text}`);
  }
  return JSON.parse(text);
}

async function place(side: "buy" | "sell", price: number): Promise<Order> {
  const parameters = { market: MARKET, side, amount: "0.01", price: price.toString() };
  const order = (await post("/api/v4/order/new", parameters)) as Order;
  console.log(`${side} 0.01 ${MARKET} at ${price.toString()}: order ${order.orderId.toString()}`);
  return order;
}

async function cancel({ orderId }: Order): Promise<void> {
  await post("/api/v4/order/cancel", { market: MARKET, orderId });
}

let placed = 0;
let cancelled = 0;
try {
  for (let round = 0; round < Number(ROUNDS); round += 1) {
    const mid = MID + round * 10;
    // One after the other: the venue wants each nonce to be above the one before.
    const orders = [await place("buy", mid - SPREAD / 2), await place("sell", mid + SPREAD / 2)];
    placed += orders.length;
    for (const order of orders) {
      await cancel(order);
      cancelled += 1;
    }
  }
  console.log(`${placed.toString()} orders placed, ${cancelled.toString()} cancelled`);
} catch (error) {
  console.error(`stopped after ${placed.toString()} orders: ${String(error)}`);
  process.exitCode = 1;
} finally {
  client.close();
}
