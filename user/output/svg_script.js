"use strict";
const svg = document.documentElement, frames = Array.from(document.querySelectorAll("g.f"));
const total = 1200, pad = 4, letter = 7.25;
let found = null, view = {x: 0, w: total};

function place(g, x, w) {
	const rect = g.querySelector("rect"), text = g.querySelector("text");
	rect.setAttribute("x", x);
	rect.setAttribute("width", Math.max(w - 0.5, 0.1));
	const room = Math.floor((w - 2 * pad) / letter), name = g.dataset.n;
	text.setAttribute("x", x + pad);
	text.textContent = room < 3 ? "" : name.length <= room ? name : name.slice(0, room - 1) + "\u2026";
}

function draw() {
	const scale = total / view.w;
	for (const g of frames) {
		const x = +g.dataset.x, w = +g.dataset.w, left = Math.max(x, view.x);
		const right = Math.min(x + w, view.x + view.w);
		const shown = right - left > 1e-9 && (right - left) * scale > 0.08;
		g.style.display = shown ? "" : "none";
		g.classList.toggle("outer", w > view.w + 1e-6);
		if (shown)
			place(g, (left - view.x) * scale, (right - left) * scale);
	}
	document.getElementById("reset").style.display = view.w < total ? "" : "none";
}

function zoom(g) {
	view = g ? {x: +g.dataset.x, w: +g.dataset.w} : {x: 0, w: total};
	draw();
}

function search(text) {
	let pattern = null;
	try { pattern = text ? new RegExp(text, "i") : null; } catch { return; }
	found = pattern;
	let until = -1, sum = 0;
	/* a frame on top of one that was found counts once */
	const hits = frames.filter(g => {
		const hit = pattern !== null && pattern.test(g.dataset.n);
		g.classList.toggle("hit", hit);
		return hit;
	}).map(g => ({x: +g.dataset.x, w: +g.dataset.w})).sort((a, b) => a.x - b.x || b.w - a.w);
	for (const h of hits) {
		if (h.x + h.w <= until + 1e-6)
			continue;
		sum += h.x + h.w - Math.max(h.x, until);
		until = h.x + h.w;
	}
	document.getElementById("matched").textContent =
		pattern ? `found: ${(sum * 100 / total).toFixed(1)} %` : "";
}

/* As wide as the window; elsewhere the picture has the width it was made for. */
function fit() {
	const box = svg.viewBox.baseVal, width = Math.max(innerWidth - 16, 600);
	svg.setAttribute("width", width);
	svg.setAttribute("height", Math.ceil(box.height * width / box.width));
}

for (const g of frames) {
	g.addEventListener("click", () => zoom(g));
	g.addEventListener("mouseover", () => {
		document.getElementById("detail").textContent = g.querySelector("title").textContent;
	});
}
document.getElementById("reset").addEventListener("click", () => zoom(null));
document.getElementById("search").addEventListener("click", () => {
	const text = prompt("Functions to find (a regular expression)", found ? found.source : "");
	if (text !== null)
		search(text);
});
addEventListener("keydown", event => {
	if (event.key === "Escape")
		zoom(null);
});
if (window.top === window) {
	addEventListener("resize", fit);
	fit();
}
draw();
