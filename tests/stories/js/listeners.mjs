// MQTT.js at every listener: TLS, ALPN, WebSocket with a certificate, and WebSocket with an address presigned as pages in browsers do.
//
// Arguments: the folder with device.pem and device.key, the server's root, HOST:PORT of MQTT and of the port for everything,
// access key and secret.

import assert from "node:assert";
import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const mqtt = createRequire(process.env.NODE_PACKAGES + "/")("mqtt");
const [folder, root, mqttAddress, muxAddress, accessKey, secret] = process.argv.slice(2);
const ca = readFileSync(root);
const certified = { ca, cert: readFileSync(`${folder}/device.pem`), key: readFileSync(`${folder}/device.key`) };
const onceOnly = { reconnectPeriod: 0, connectTimeout: 20_000, keepalive: 30 };
const named = (address) => address.replace("127.0.0.1:", "localhost:");

function presigned(host, secret) {
  const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
  const hash = (text) => createHash("sha256").update(text).digest("hex");
  const at = new Date().toISOString().replace(/[:-]|\.\d{3}/g, "");
  const scope = `${at.slice(0, 8)}/us-east-1/iotdevicegateway/aws4_request`;
  const query =
    `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(`${accessKey}/${scope}`)}` +
    `&X-Amz-Date=${at}&X-Amz-Expires=300&X-Amz-SignedHeaders=host`;
  // As samples for browsers do: the host without the port.
  const canonical = `GET\n/mqtt\n${query}\nhost:${host.split(":")[0]}\n\nhost\n${hash("")}`;
  const key = scope.split("/").reduce(hmac, `AWS4${secret}`);
  const signature = createHmac("sha256", key).update(`AWS4-HMAC-SHA256\n${at}\n${scope}\n${hash(canonical)}`).digest("hex");
  return `wss://${host}/mqtt?${query}&X-Amz-Signature=${signature}`;
}

async function speaks(url, clientId, options, prefix) {
  const client = await mqtt.connectAsync(url, { ...onceOnly, ...options, clientId });
  const heard = [];
  client.on("message", (topic, payload) => heard.push([topic, payload.toString()]));
  const [granted] = await client.subscribeAsync(`${prefix}/${clientId}/#`, { qos: 1 });
  assert.equal(granted.qos, 1);
  for (const qos of [0, 1]) {
    const came = once(client, "message");
    await client.publishAsync(`${prefix}/${clientId}/${qos}`, `at ${qos}`, { qos });
    await came;
  }
  assert.deepEqual(heard, [0, 1].map((qos) => [`${prefix}/${clientId}/${qos}`, `at ${qos}`]));
  if (prefix === "dt") {
    const closed = once(client, "close");
    const refused = client.subscribeAsync("secret/#", { qos: 1 }).then(() => "granted", () => "refused");
    assert.equal(await Promise.race([refused, closed.then(() => "refused")]), "refused");
  }
  await client.endAsync(true);
}

async function refused(url, clientId, options) {
  const error = await mqtt.connectAsync(url, { ...onceOnly, ...options, clientId }, false).then(
    () => assert.fail(`${clientId} was taken`),
    (error) => error,
  );
  assert.match(String(error), /403|connect to server/);
}

const mux = named(muxAddress);
for (const protocolVersion of [4, 5]) {
  const versioned = { ...certified, protocolVersion };
  await speaks(`mqtts://${named(mqttAddress)}`, `js-tls-${protocolVersion}`, versioned, "dt");
  const alpn = { ...versioned, ALPNProtocols: ["x-amzn-mqtt-ca"] };
  await speaks(`mqtts://${mux}`, `js-443-${protocolVersion}`, alpn, "dt");
  await speaks(`wss://${mux}/mqtt`, `js-wss-${protocolVersion}`, versioned, "dt");
}
await speaks(presigned(mux, secret), "js-signed", { ca, protocolVersion: 5 }, "any");
await refused(presigned(mux, "wrong"), "js-wrong", { ca });
await refused(`wss://${mux}/mqtt`, "js-unsigned", { ca });
console.log("done");
process.exit(0);
