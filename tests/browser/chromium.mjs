// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium under playwright-core, and a directory served on 127.0.0.1.
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join, normalize, extname } from "node:path";

const cache = join(process.env.VIZBPF_CACHE || "/var/cache/vizbpf", "browser");

export async function launch() {
	const require = createRequire(join(cache, "package.json"));
	const { chromium } = require("playwright-core");
	return chromium.launch({
		executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
		args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		       "--disable-background-networking", "--disable-component-update", "--disable-sync",
		       "--disable-dev-shm-usage", "--force-color-profile=srgb"],
	});
}

// A page that notes what goes wrong on it and every request that leaves the machine.
export async function newPage(browser, options = {}) {
	const context = await browser.newContext({
		viewport: { width: 1400, height: 820 }, colorScheme: "light", ...options,
	});
	const page = await context.newPage();
	page.errors = [];
	page.outside = [];
	page.on("pageerror", e => page.errors.push(String(e)));
	page.on("request", r => {
		const url = new URL(r.url());
		if (/^(https?|wss?):$/.test(url.protocol) && url.hostname !== "127.0.0.1")
			page.outside.push(r.url());
	});
	return page;
}

const types = {
	".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm",
	".json": "application/json", ".woff2": "font/woff2", ".png": "image/png",
};

// Serves @directory, and @extra: { "/name": path }; returns { url, close }.
export function serve(directory, extra = {}) {
	const server = createServer(async (request, response) => {
		const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
		const file = extra[path] ?? join(directory, path.endsWith("/") ? path + "index.html" : path);
		try {
			const data = await readFile(file);
			response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" });
			response.end(data);
		} catch {
			response.writeHead(404).end();
		}
	});
	return new Promise(resolve => server.listen(0, "127.0.0.1", () =>
		resolve({ url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() })));
}
