'use strict';
/*
 * A shell around node-smpp, which does all the SMPP: orders are JSON lines on standard input, what happens is
 * JSON lines on standard output. Octets travel as {"hex": "..."}.
 *
 *   {"id": 1, "do": "listen", "key": PEM, "cert": PEM}        -> {"id": 1, "port": N}
 *   {"id": 2, "do": "connect", "options": {"url": ...}}       -> {"id": 2, "session": 1}
 *   {"id": 3, "do": "send", "session": 1, "command": ..., "fields": {...}}  -> {"id": 3, "pdu": response}
 *   {"id": 4, "do": "answer", "command": ..., "plan": {...}}  -> {"id": 4}
 *   {"id": 5, "do": "close", "session": 1}                    -> {"id": 5}
 *
 * Every PDU received is told as {"session": 1, "pdu": {...}}, and requests are answered by their plan:
 * {"statuses": [...]} are used up first, then {"fields": {...}}; {"ids": "hex" | "decimal"} gives message ids;
 * {"silent": true} answers nothing; {"nack": true} answers the first with generic_nack, ESME_RINVCMDID.
 */
const fs = require('fs');
const readline = require('readline');
const smpp = require('smpp');

const NO_RESPONSE = new Set(['alert_notification', 'outbind']);
const sessions = new Map();
const plans = {};
let lastSession = 0;
let lastId = 0x5f0000;

smpp.addCommand('vendor_sm', {id: 0x00010203, params: {}});
smpp.addCommand('vendor_sm_resp', {id: 0x80010203, params: {}});

function tell(event) {
  process.stdout.write(JSON.stringify(event, (key, value) => {
    if (value && value.type === 'Buffer' && Array.isArray(value.data)) {
      return {hex: Buffer.from(value.data).toString('hex')};
    }
    return value;
  }) + '\n');
}

function revive(key, value) {
  return value && typeof value === 'object' && typeof value.hex === 'string' ? Buffer.from(value.hex, 'hex') : value;
}

function answer(session, pdu) {
  const plan = plans[pdu.command] || {};
  if (plan.silent || NO_RESPONSE.has(pdu.command)) return null;
  if (plan.nack) {
    plan.nack = false;
    session.send(new smpp.PDU('generic_nack', {command_status: 3, sequence_number: pdu.sequence_number}));
    return null;
  }
  const fields = Object.assign({}, plan.fields);
  if (plan.statuses && plan.statuses.length) fields.command_status = plan.statuses.shift();
  if (plan.ids && !fields.command_status) {
    lastId += 1;
    fields.message_id = plan.ids === 'hex' ? lastId.toString(16) : String(lastId);
  }
  session.send(pdu.response(fields));
  return fields;
}

function adopt(session) {
  const number = ++lastSession;
  sessions.set(number, session);
  session.on('pdu', (pdu) => {
    const plain = Object.assign({}, pdu);
    const event = {session: number, pdu: plain};
    if (!pdu.isResponse()) event.answered = answer(session, pdu);
    tell(event);
    if (pdu.command === 'unbind') session.close();
  });
  session.on('close', () => tell({session: number, closed: true}));
  session.on('error', (error) => tell({session: number, error: String(error)}));
  return number;
}

const orders = {
  listen(order) {
    const options = order.cert ? {key: fs.readFileSync(order.key), cert: fs.readFileSync(order.cert)} : {};
    const server = smpp.createServer(options, (session) => tell({session: adopt(session), accepted: true}));
    server.on('error', (error) => tell({error: String(error)}));
    server.on('tlsClientError', (error) => tell({tls_error: String(error)}));
    server.listen(0, '127.0.0.1', () => tell({id: order.id, port: server.address().port}));
  },
  connect(order) {
    const options = Object.assign({}, order.options);
    if (options.ca) options.ca = fs.readFileSync(options.ca);
    const session = smpp.connect(options, () => {});
    const number = adopt(session);
    const connected = () => tell({id: order.id, session: number});
    session.on(session.options.tls ? 'secureConnect' : 'connect', connected);
  },
  send(order) {
    const pdu = new smpp.PDU(order.command, order.fields || {});
    const responds = !NO_RESPONSE.has(order.command);
    sessions.get(order.session).send(pdu, responds ? (response) => {
      tell({id: order.id, pdu: Object.assign({}, response)});
    } : undefined, responds ? undefined : () => tell({id: order.id}));
    if (!responds) tell({id: order.id});
  },
  answer(order) {
    plans[order.command] = order.plan;
    tell({id: order.id});
  },
  close(order) {
    sessions.get(order.session).destroy();
    tell({id: order.id});
  },
};

const lines = readline.createInterface({input: process.stdin});
lines.on('line', (line) => {
  const order = JSON.parse(line, revive);
  try {
    orders[order.do](order);
  } catch (error) {
    tell({id: order.id, failed: String(error && error.stack || error)});
  }
});
lines.on('close', () => process.exit(0));
