// The official Express middleware as a process: `seller.mjs FACILITATOR_URL PAY_TO`. Prints its address.
// `POST /goods` costs $0.01. `GET /runs` says how often its handler ran.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";

const [facilitator, payTo] = process.argv.slice(2);
const network = "eip155:84532";
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(
  network,
  new ExactEvmScheme(),
);
let runs = 0;
const app = express();
app.use(
  paymentMiddleware({ "POST /goods": { accepts: { scheme: "exact", network, price: "$0.01", payTo } } }, server),
);
app.post("/goods", (_request, response) => {
  runs += 1;
  response.json({ goods: "delivered" });
});
app.get("/runs", (_request, response) => {
  response.json(runs);
});
const listening = app.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${listening.address().port}`);
});
