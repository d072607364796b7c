// The official Node client through its whole surface, in the order of Agones's own conformance test.
//
//   node tests/clients/agones.js     (NODE_PATH names where @google-cloud/agones-sdk lies)
//
// It prints "again" where agents are to be killed, goes on calling until a line comes on stdin, and prints "done" at its end.
// Its watch and its health stream are opened once: it is an error if one of them breaks, or if any call is refused.
const assert = require("node:assert");
const readline = require("node:readline");
const AgonesSDK = require("@google-cloud/agones-sdk");

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const sdk = new AgonesSDK();
const seen = [];
let changed = () => {};

let leaving = false;

function broken(what, error) {
	if (!leaving) {
		console.error(what, "broke:", error);
		process.exit(1);
	}
}

function watch() {
	sdk.watchGameServer(
		(server) => {
			seen.push(server);
			changed();
		},
		(error) => broken("the watch", error),
	);
}

// Waits until a state as wanted has been seen, now or later.
async function sees(what, wanted) {
	while (!seen.some(wanted)) {
		await new Promise((resolve) => {
			changed = resolve;
		});
	}
	console.log("seen", what);
}

async function refused(promise, code) {
	await assert.rejects(promise, (error) => error.code === code, `code ${code}`);
}

async function counters() {
	assert.strictEqual(await sdk.beta.getCounterCount("rooms"), 1);
	await sdk.beta.incrementCounter("rooms", 9);
	await sees("ten rooms", (server) => new Map(server.status.countersMap).get("rooms").count === 10);
	await sdk.beta.decrementCounter("rooms", 10);
	await refused(sdk.beta.decrementCounter("rooms", 1), 11);
	await sdk.beta.setCounterCount("rooms", 10);
	assert.strictEqual(await sdk.beta.getCounterCount("rooms"), 10);
	assert.strictEqual(await sdk.beta.getCounterCapacity("rooms"), 10);
	await sdk.beta.setCounterCapacity("rooms", 1);
	assert.strictEqual(await sdk.beta.getCounterCapacity("rooms"), 1);
	await refused(sdk.beta.getCounterCount("none"), 5);
}

async function lists() {
	assert.strictEqual(await sdk.beta.listContains("players", "test1"), true);
	assert.strictEqual(await sdk.beta.getListLength("players"), 3);
	assert.deepStrictEqual(await sdk.beta.getListValues("players"), ["test0", "test1", "test2"]);
	await sdk.beta.appendListValue("players", "test3");
	await refused(sdk.beta.appendListValue("players", "test3"), 6);
	await sdk.beta.deleteListValue("players", "test2");
	await refused(sdk.beta.deleteListValue("players", "test2"), 5);
	assert.deepStrictEqual(await sdk.beta.getListValues("players"), ["test0", "test1", "test3"]);
	assert.strictEqual(await sdk.beta.getListCapacity("players"), 100);
	await sdk.beta.setListCapacity("players", 2);
	assert.strictEqual(await sdk.beta.getListCapacity("players"), 2);
	assert.deepStrictEqual(await sdk.beta.getListValues("players"), ["test0", "test1"]);
}

async function players() {
	await sdk.alpha.setPlayerCapacity(1);
	assert.strictEqual(await sdk.alpha.getPlayerCapacity(), 1);
	assert.strictEqual(await sdk.alpha.playerConnect("ada"), true);
	assert.strictEqual(await sdk.alpha.playerConnect("ada"), false);
	await refused(sdk.alpha.playerConnect("bob"), 11);
	assert.strictEqual(await sdk.alpha.isPlayerConnected("ada"), true);
	assert.deepStrictEqual(await sdk.alpha.getConnectedPlayers(), ["ada"]);
	assert.strictEqual(await sdk.alpha.getPlayerCount(), 1);
	assert.strictEqual(await sdk.alpha.playerDisconnect("ada"), true);
	assert.strictEqual(await sdk.alpha.playerDisconnect("ada"), false);
}

// Calls without a pause while agents die: each counts once, and each label that was answered is there.
async function callsThrough(uid) {
	let over = false;
	lines.next().then(() => {
		over = true;
	});
	let calls = 0;
	while (!over) {
		calls += 1;
		await sdk.beta.incrementCounter("calls", 1);
		await sdk.setLabel("calls", String(calls));
		const labels = new Map((await sdk.getGameServer()).objectMeta.labelsMap);
		assert.strictEqual(labels.get("agones.dev/sdk-calls"), String(calls));
	}
	assert.strictEqual(await sdk.beta.getCounterCount("calls"), calls);
	await sees("every call", (server) =>
		server.objectMeta.uid === uid && new Map(server.objectMeta.labelsMap).get("agones.dev/sdk-calls") === String(calls));
	console.log("called", calls);
}

async function main() {
	await sdk.connect();
	watch();
	await sdk.ready();
	await sees("Ready", (server) => server.status.state === "Ready");
	const first = await sdk.getGameServer();
	const uid = first.objectMeta.uid;
	await sdk.setAnnotation("uid", uid);
	const created = String((await sdk.getGameServer()).objectMeta.creationTimestamp);
	await sdk.setLabel("created", created);
	await sees("the label", (server) =>
		new Map(server.objectMeta.labelsMap).get("agones.dev/sdk-created") === created &&
		new Map(server.objectMeta.annotationsMap).get("agones.dev/sdk-uid") === uid);
	const pings = setInterval(() => sdk.health((error) => broken("the health stream", error)), 20);
	await sdk.reserve(5);
	await sees("Reserved", (server) => server.status.state === "Reserved");
	await sdk.allocate();
	await sees("Allocated", (server) => server.status.state === "Allocated");
	await counters();

	console.log("again");
	await callsThrough(uid);
	assert.strictEqual(await sdk.beta.getCounterCapacity("rooms"), 1);
	await lists();
	await players();
	leaving = true;
	clearInterval(pings);
	await sdk.shutdown();
	console.log("done");
	sdk.close();
	process.exit(0);
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
