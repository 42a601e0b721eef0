// Writes and reads session strings with the libraries of npm: answers each line of JSON with a line of JSON.
import { createInterface } from "node:readline";
import * as convert from "@mtcute/convert";
import { readStringSession, writeStringSession } from "@mtcute/core/utils.js";
import { __tlReaderMap } from "@mtcute/tl/binary/reader.js";
import { __tlWriterMap } from "@mtcute/tl/binary/writer.js";
import * as old from "mtcute-core-0.2/utils.js";
import { AuthKey } from "telegram/crypto/AuthKey.js";
import bigInt from "big-integer";
import { Api } from "telegram";
import { StoreSession, StringSession } from "telegram/sessions/index.js";

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (data) => Buffer.from(data).toString("hex");

const CONVERTED = {
  gramjs: [convert.convertFromGramjsSession, convert.convertToGramjsSession],
  mtkruto: [convert.convertFromMtkrutoSession, convert.convertToMtkrutoSession],
  pyrogram: [convert.convertFromPyrogramSession, convert.convertToPyrogramSession],
  telethon: [convert.convertFromTelethonSession, convert.convertToTelethonSession],
};

function mtcuteLogin({ version, primaryDcs, self, authKey }) {
  const { id, ipAddress, port, testMode } = primaryDcs.main;
  return { version, id, address: ipAddress, port, test: testMode ?? false, user: self?.userId, bot: self?.isBot, key: hex(authKey) };
}

function mtcuteData({ version, id, address, port, test, media, user, bot, key }) {
  const main = { id, ipAddress: address, port, ipv6: address.includes(":"), testMode: test };
  const primaryDcs = { main, media: media ? { ...main, mediaOnly: true } : main };
  const self = user ? { userId: user, isBot: bot, isPremium: false, usernames: [] } : null;
  return { version, testMode: test, primaryDcs, self, authKey: bytes(key) };
}

const COMMANDS = {
  async "gramjs.write"({ id, address, port, key }) {
    const session = new StringSession();
    session.setDC(id, address, port);
    const authKey = new AuthKey();
    await authKey.setKey(Buffer.from(key, "hex"));
    session.setAuthKey(authKey);
    return session.save();
  },
  async "gramjs.read"({ string }) {
    const session = new StringSession(string);
    await session.load();
    return { id: session.dcId, address: session.serverAddress, port: session.port, key: hex(session.authKey.getKey()) };
  },
  async "gramjs.store"({ folder, name, id, address, port, key, people }) {
    const here = process.cwd();
    process.chdir(folder);
    const session = new StoreSession(name);
    session.setDC(id, address, port);
    const authKey = new AuthKey();
    await authKey.setKey(Buffer.from(key, "hex"));
    session.setAuthKey(authKey);
    session.processEntities(people.map(([kind, id, accessHash, title, username, phone]) => new Api[kind]({
      id: bigInt(id), accessHash: bigInt(accessHash), firstName: title, title, username, phone, photo: new Api.ChatPhotoEmpty(),
    })));
    process.chdir(here);
    return null;
  },
  "mtcute.write"(login) {
    if (login.version === 3) return writeStringSession(mtcuteData(login));
    const data = mtcuteData(login);
    for (const dc of Object.values(data.primaryDcs)) dc._ = "dcOption";
    return old.writeStringSession(__tlWriterMap, data);
  },
  "mtcute.read": ({ string }) => mtcuteLogin(readStringSession(string)),
  "convert.write": ({ to, login, apiId }) => CONVERTED[to][1](mtcuteData(login), { apiId }),
  "convert.read": ({ from, string }) => mtcuteLogin(CONVERTED[from][0](string)),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...request } = JSON.parse(line);
  const answer = await Promise.resolve(request).then(COMMANDS[command]).then((value) => ({ value }), (error) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
