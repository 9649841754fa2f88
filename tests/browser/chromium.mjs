// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium under playwright-core.
import { createRequire } from "node:module";
import { join } from "node:path";

export const cache = join(process.env.VIZBPF_CACHE || "/var/cache/vizbpf", "browser");

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
	context.setDefaultTimeout(120000);	// machines that test are busy
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

export const types = {
	".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm",
	".json": "application/json", ".woff2": "font/woff2", ".png": "image/png",
};

