// The official fetch client as a process: one JSON command per line of stdin, one JSON outcome per line of stdout.
// A command is {method, url, headers, body, key, cap}; `cap` false lifts the SDK's limit of $1 per payment.

import { createInterface } from "node:readline";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { ExactEvmSchemeV1 } from "@x402/evm/v1";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";

async function buy(command) {
  const signer = privateKeyToAccount(command.key);
  const client = new x402Client()
    .register("eip155:*", new ExactEvmScheme(signer))
    .registerV1("base-sepolia", new ExactEvmSchemeV1(signer));
  if (command.cap === false) client.setSpendControls(false);
  const answer = await wrapFetchWithPayment(fetch, client)(command.url, {
    method: command.method,
    headers: command.headers,
    body: command.body ?? undefined,
  });
  return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
}

for await (const line of createInterface({ input: process.stdin })) {
  let outcome;
  try {
    outcome = await buy(JSON.parse(line));
  } catch (error) {
    outcome = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(outcome));
}
