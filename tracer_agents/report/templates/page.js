"use strict";
// The page's theme switch and its browser of dialogues. Whatever a model wrote becomes text nodes, never markup.
(() => {
  const root = document.documentElement;

  // theme: automatic, or what the reader chose
  const themes = ["auto", "light", "dark"];
  const themeButton = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("tracer-theme"); } catch { return null; } };
  const applyTheme = (theme) => {
    if (theme === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = theme;
    themeButton.textContent = `Theme: ${theme}`;
  };
  let theme = themes.includes(stored()) ? stored() : "auto";
  applyTheme(theme);
  themeButton.hidden = false;
  themeButton.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    applyTheme(theme);
    try { localStorage.setItem("tracer-theme", theme); } catch { /* a page without storage forgets */ }
  });

  const source = document.getElementById("data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const byId = (id) => document.getElementById(id);
  const [form, methodBox, searchBox, flagBox, list, more, detail, count] =
    ["filters", "method", "search", "flags", "list", "more", "detail", "count"].map(byId);
  const PAGE = 60;
  const several = data.runs.length > 1;

  // small helpers
  const make = (tag, classes, ...children) => {
    const node = document.createElement(tag);
    if (classes) node.className = classes;
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  };
  const button = (text, classes, act) => {
    const node = make("button", classes, text);
    node.type = "button";
    node.addEventListener("click", act);
    return node;
  };
  const minus = (text) => text.replace("-", "−");
  const signed = (value, digits = 2) => minus((value >= 0 ? "+" : "") + value.toFixed(digits));
  const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  const verdictWord = (right, grade) =>
    make("span", right ? "is-right" : "is-wrong", right ? "✓ right" : `✗ ${!grade || grade === "right" ? "wrong" : grade.replace("_", " ")}`);
  const text = (place) => (place === null || place === undefined ? null : data.texts[place]);

  // state, and its permalink
  const methods = data.methods.filter((_, n) => data.questions.some((q) => q.entries.some((e) => e.method === n)));
  const numberOf = (key) => data.methods.findIndex((method) => method.key === key);
  const state = { question: null, method: methods[0].key, path: null, flags: new Set(), search: "", shown: PAGE };
  let visible = [];

  const readLink = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    if (!given.has("q") && !given.has("m")) return false;
    if (numberOf(given.get("m")) >= 0) state.method = given.get("m");
    const known = new Set(data.flags.map((flag) => flag.key));
    state.flags = new Set((given.get("f") || "").split(",").filter((flag) => known.has(flag)));
    state.search = given.get("s") || "";
    state.question = data.questions.find((question) => question.id === given.get("q")) || null;
    state.path = /^[01]+$/.test(given.get("p") || "") ? given.get("p") : null;
    return true;
  };
  const link = () => {
    const wanted = new URLSearchParams();
    if (state.question) wanted.set("q", state.question.id);
    wanted.set("m", state.method);
    if (state.path) wanted.set("p", state.path);
    if (state.flags.size) wanted.set("f", [...state.flags].join(","));
    if (state.search) wanted.set("s", state.search);
    return `#${wanted}`;
  };
  const keepLink = () => history.replaceState(null, "", link());

  // which questions are shown
  const entriesOf = (question, method) => question.entries.filter((entry) => entry.method === method);
  const textsOf = (entry) =>
    entry.tree
      ? Object.values(entry.tree.said).map((said) => text(said[0]))
      : entry.turns.map((turn) => text(turn[5]));
  const matches = (question, entry, needle) => {
    for (const flag of state.flags) if (!entry.flags.includes(flag)) return false;
    if (!needle) return true;
    const answers = [entry.answer, ...(entry.turns || []).map((turn) => turn[6])];
    return [question.id, question.text, question.gold, ...answers, ...textsOf(entry)].some(
      (each) => each && each.toLowerCase().includes(needle));
  };
  const select = () => {
    const method = numberOf(state.method);
    const needle = state.search.trim().toLowerCase();
    const all = data.questions.filter((question) => entriesOf(question, method).length);
    visible = all.filter((question) => entriesOf(question, method).some((entry) => matches(question, entry, needle)));
    count.textContent = `${plural(visible.length, "question")} of ${all.length.toLocaleString("en")}`;
  };

  const occurring = new Set(data.questions.flatMap((question) => question.entries.flatMap((entry) => entry.flags)));
  const fillFilters = () => {
    methodBox.replaceChildren(...methods.map((method) => new Option(method.label, method.key)));
    methodBox.value = state.method;
    searchBox.value = state.search;
    const entries = data.questions.flatMap((question) => entriesOf(question, numberOf(state.method)));
    const boxes = data.flags
      .filter((flag) => occurring.has(flag.key) || state.flags.has(flag.key))
      .map((flag) => {
        const n = entries.filter((entry) => entry.flags.includes(flag.key)).length;
        const box = make("input");
        box.type = "checkbox";
        box.value = flag.key;
        box.checked = state.flags.has(flag.key);
        box.disabled = n === 0 && !box.checked;
        box.addEventListener("change", () => {
          if (box.checked) state.flags.add(flag.key); else state.flags.delete(flag.key);
          state.shown = PAGE;
          refresh();
        });
        return make("label", "", box, flag.label, make("small", "", n.toLocaleString("en")));
      });
    flagBox.replaceChildren(...boxes);
  };

  const fillList = () => {
    const method = numberOf(state.method);
    list.replaceChildren(...visible.slice(0, state.shown).map((question) => {
      const entries = entriesOf(question, method);
      const marks = make("span", "", ...entries.map((entry) => {
        const mark = make("span", entry.right ? "is-right" : "is-wrong", entry.right ? "✓" : "✗");
        mark.setAttribute("role", "img");
        mark.setAttribute("aria-label", entry.right ? "right" : "wrong");
        return mark;
      }));
      const item = button("", "", () => choose(question, true));
      item.append(make("span", "head", make("span", "", question.id), marks), make("span", "text", question.text));
      item.setAttribute("aria-current", String(question === state.question));
      return make("li", "", item);
    }));
    more.hidden = visible.length <= state.shown;
  };

  // a dialogue
  const reading = (role, answer, verdict, right, reward, prompt, generated, end, chance, votes) => {
    const parts = [];
    if (role === "proposer") parts.push(make("span", "", answer === null || answer === undefined ? "no readable answer" : `answer ${answer}`));
    else parts.push(make("span", "", verdict ? `verdict ${verdict}` : "no readable verdict"));
    const words = role === "proposer" ? ["✓ right", "✗ wrong"] : ["✓ true", "✗ not true"];
    if (right !== null && right !== undefined) parts.push(make("span", right ? "is-right" : "is-wrong", words[right ? 0 : 1]));
    if (chance !== null && chance !== undefined) parts.push(make("span", "", `P(RIGHT) ${chance.toFixed(2)}`));
    if (reward !== null && reward !== undefined) parts.push(make("span", "", `reward ${signed(reward, 0)}`));
    if (votes !== null) parts.push(make("span", "", `votes ${signed(votes, 0).replace("+0", "0")}`));
    parts.push(make("span", "", `${generated} tokens, ${prompt} read`));
    if (end === "length") parts.push(make("span", "is-wrong", "cut off by the limit"));
    if (end === "failed" || end === "too_long") parts.push(make("span", "is-wrong", end.replace("_", " ")));
    return make("p", "reading", ...parts);
  };
  const textBox = (shown) => {
    const box = make("div", "text-box");
    const needle = state.search.trim().toLowerCase();
    let rest = shown;
    while (needle && rest.toLowerCase().includes(needle)) {
      const start = rest.toLowerCase().indexOf(needle);
      box.append(rest.slice(0, start), make("mark", "", rest.slice(start, start + needle.length)));
      rest = rest.slice(start + needle.length);
    }
    box.append(rest);
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "what was said");
    return box;
  };
  // u = ±1 minus what speech cost: the price of speech times the share of the token budget
  const worth = (right, utility) =>
    `utility ${signed(utility, 3)} = ${right ? "+1" : "−1"} − ${Math.max(0, (right ? 1 : -1) - utility).toFixed(3)} for speech`;
  const moved = (votes, role, verdict) =>
    role === "proposer" ? 0 : votes + (verdict === "RIGHT" ? 1 : verdict === "WRONG" ? -1 : 0);
  const roundTitle = (number, agent, role) =>
    make("h5", "", `Round ${number} · agent ${agent} ${role === "proposer" ? "proposes" : "reviews"}`);

  // both branches of every choice on a path through the tree
  const follow = (tree, start) => {
    let path = start;
    while (!(path in tree.leaves)) {
      if (tree.played.startsWith(path)) return tree.played;
      const choice = tree.choices[path];
      path += !choice || choice[1] >= 0.5 ? "1" : "0";
    }
    return path;
  };
  // where the search has hit nothing on the played path, a path on which it has
  const pathToHit = (question) => {
    const needle = state.search.trim().toLowerCase();
    const trees = needle && question ? entriesOf(question, numberOf(state.method)).map((entry) => entry.tree).filter(Boolean) : [];
    for (const tree of trees) {
      const hits = Object.keys(tree.said).filter((prefix) => text(tree.said[prefix][0]).toLowerCase().includes(needle));
      if (hits.some((prefix) => tree.played.startsWith(prefix))) return null;
      if (hits.length) return follow(tree, `${hits[0]}1`);
    }
    return null;
  };
  const fitting = (tree, wanted) => (wanted && wanted in tree.leaves ? wanted : tree.played);
  const branch = (tree, run, prefix, mode, path, votes) => {
    const [, role] = run.seats[prefix.length];
    const choice = tree.choices[prefix];
    const on = path.startsWith(prefix + mode);
    const played = tree.played.startsWith(prefix + mode);
    const head = make("header", "", make("strong", "", mode === "1" ? "Speak" : "Skip"));
    if (played) head.append(make("span", "tag", "played"));
    if (choice) {
      const chance = mode === "1" ? choice[1] : 1 - choice[1];
      const value = mode === "1" ? choice[3] : choice[2];
      const regret = Math.max(choice[2], choice[3]) - value;
      head.append(make("span", "", `P ${chance.toFixed(2)}`), make("span", "", `value ${signed(value)}`),
        make("span", regret >= 0.005 ? "is-wrong" : "", `regret ${regret.toFixed(2)}`));
    } else head.append(make("span", "", "forced"));
    const node = make("div", `branch${on ? " on" : ""}`, head);
    if (mode === "1") {
      const [place, answer, verdict, right, reward, prompt, generated, end, chance] = tree.said[prefix];
      const shownVotes = role === "reviewer" ? moved(votes, role, verdict) : null;
      node.append(textBox(text(place)), reading(role, answer, verdict, right, reward, prompt, generated, end, chance, shownVotes));
    } else node.append(make("p", "reading", role === "proposer" ? "The pending solution stays." : "Nobody judges the pending solution."));
    if (!on) {
      const go = button(`Follow: ${mode === "1" ? "speak" : "skip"} in round ${prefix.length + 1}`, "step",
        () => walk(follow(tree, prefix + mode), prefix.length));
      node.append(go);
    }
    return node;
  };
  const treeView = (entry, run, side) => {
    const tree = entry.tree, path = fitting(tree, state.path);
    let votes = 0;
    if (path !== tree.played) {
      side.append(make("p", "off-path", "This path was not played.",
        button("Back to the played path", "step", () => walk(null, 0))));
    }
    for (let round = 0; round < path.length; round += 1) {
      const prefix = path.slice(0, round), [agent, role] = run.seats[round], choice = tree.choices[prefix];
      const node = make("div", "round", roundTitle(round + 1, agent, role));
      if (choice) {
        const infoset = run.infosets[choice[0]];
        const gain = infoset.gain === null ? "" : `; speaking gains ${signed(infoset.gain)} there on average`;
        node.append(make("p", "knows", `Knows: ${infoset.label}. ${(100 * infoset.met).toFixed(0)}% of questions come here${gain}.`));
      }
      const modes = choice ? ["1", "0"] : ["1"];
      node.append(make("div", "branches", ...modes.map((mode) => branch(tree, run, prefix, mode, path, votes))));
      side.append(node);
      if (path[round] === "1") votes = moved(votes, role, tree.said[prefix][2]);
    }
    const [answer, right, tokens, utility] = tree.leaves[path];
    side.append(make("p", "end", "The team answers ", make("strong", "", answer === null ? "nothing readable" : answer), ": ",
      verdictWord(Boolean(right)), ` · ${plural(tokens, "token")} · ${worth(right, utility)}`));
  };
  const plainView = (entry, side) => {
    if (entry.kind === "dialogue") {
      const where = numberOf("trees") < 0 ? "" : "; both branches of the team’s decisions are under “team, both branches”";
      side.append(make("p", "facts-line", `Only the path that was played is recorded here${where}.`));
    }
    let votes = 0;
    for (const turn of entry.turns) {
      const [round, agent, role, mode, forced, place, answer, verdict, right, reward, prompt, generated, end, chance] = turn;
      const title = entry.kind === "ballot"
        ? make("h5", "", role === "proposer" ? `Proposal ${round} · agent ${agent}` : `Review of proposal ${round} · agent ${agent}`)
        : roundTitle(round, agent, role);
      const node = make("div", "round", title);
      const head = make("header", "", make("strong", "", mode ? "Speak" : "Skip"), forced ? make("span", "", "forced") : null);
      const box = make("div", "branch on", entry.kind === "dialogue" ? head : null);
      const shown = text(place);
      if (shown !== null) {
        votes = moved(votes, role, verdict);
        const shownVotes = entry.kind === "dialogue" && role === "reviewer" ? votes : null;
        box.append(textBox(shown), reading(role, answer, verdict, right, reward, prompt, generated, end, chance, shownVotes));
      } else box.append(make("p", "reading", role === "proposer" ? "The pending solution stays." : "Nobody judges the pending solution."));
      node.append(make("div", "branches", box));
      side.append(node);
    }
    side.append(make("p", "end", "The answer is ", make("strong", "", entry.answer === null ? "nothing readable" : entry.answer), ": ",
      verdictWord(entry.right, entry.grade)));
  };
  const sideOf = (entry) => {
    const run = data.runs[entry.run];
    const side = make("div", "side", several ? make("h4", "", run.name) : null);
    const facts = make("p", "outcome", verdictWord(entry.right, entry.grade),
      make("span", "", `answer ${entry.answer === null ? "none" : entry.answer}`), make("span", "", plural(entry.tokens, "token")),
      entry.utility === null ? null : make("span", "", worth(entry.right, entry.utility)));
    side.append(facts);
    if (entry.tree) treeView(entry, run, side); else plainView(entry, side);
    return side;
  };
  const others = (question) => {
    const head = make("tr", "", make("th", "", "played by"), ...data.runs.map((run) => make("th", "number", several ? run.name : "answer")));
    for (const cell of head.children) cell.scope = "col";
    const rows = methods.map((method) => {
      const n = numberOf(method.key);
      const entries = entriesOf(question, n);
      if (!entries.length) return null;
      const name = make("th", "", button(method.label, "", () => { state.method = method.key; state.path = null; fillFilters(); refresh(); detail.focus(); }));
      name.scope = "row";
      return make("tr", method.key === state.method ? "strong" : "", name, ...data.runs.map((_, run) => {
        const entry = entries.find((each) => each.run === run);
        return entry
          ? make("td", "", `${entry.answer === null ? "none" : entry.answer} `, verdictWord(entry.right, entry.grade), make("small", "", plural(entry.tokens, "token")))
          : make("td", "", "–");
      }));
    }).filter(Boolean);
    const table = make("table", "figures", make("caption", "", "The same question, answered by all"), make("thead", "", head), make("tbody", "", ...rows));
    const box = make("div", "others scroll", table);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "The same question, answered by all");
    return box;
  };
  const showDetail = () => {
    const question = state.question;
    if (!question) { detail.replaceChildren(make("p", "facts-line", "No dialogue passes these filters.")); return; }
    const here = visible.indexOf(question);
    const to = (step) => {
      const next = visible[here + step];
      const node = button(step < 0 ? "Previous" : "Next", "quiet", () => choose(next, true));
      node.disabled = !next || here < 0;
      return node;
    };
    const permalink = make("a", "", "Permalink");
    permalink.href = link();
    const entries = entriesOf(question, numberOf(state.method));
    const label = data.methods[numberOf(state.method)].label;
    detail.replaceChildren(
      make("div", "tools", make("h3", "", `${question.id} · ${label}`), make("div", "", permalink, to(-1), to(1))),
      make("p", "ask", question.text),
      make("p", "facts-line", `Gold answer, which nobody in the dialogue sees: ${question.gold}`),
      make("div", several ? "sides several" : "sides", ...entries.map(sideOf)),
      others(question));
  };
  const choose = (question, focus) => {
    state.question = question;
    state.path = pathToHit(question);
    keepLink();
    fillList();
    showDetail();
    if (focus) { detail.focus({ preventScroll: true }); detail.scrollIntoView({ block: "start" }); }
  };
  const walk = (path, round) => {
    state.path = path;
    keepLink();
    showDetail();
    const rounds = detail.querySelectorAll(".round");
    const target = rounds[Math.min(round, rounds.length - 1)];
    if (target) { target.tabIndex = -1; target.focus({ preventScroll: true }); }
  };
  const refresh = () => {
    select();
    if (!visible.includes(state.question)) { state.question = visible[0] || null; state.path = null; }
    state.path = state.path || pathToHit(state.question);
    keepLink();
    fillList();
    showDetail();
  };

  methodBox.addEventListener("change", () => {
    state.method = methodBox.value;
    state.path = null;
    state.shown = PAGE;
    fillFilters();
    refresh();
  });
  searchBox.addEventListener("input", () => {
    state.search = searchBox.value;
    state.path = null;
    state.shown = PAGE;
    refresh();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { state.shown += PAGE; fillList(); });
  const open = () => {
    const linked = readLink();
    fillFilters();
    select();
    if (!state.question) state.question = visible[0] || null;
    fillList();
    showDetail();
    if (linked) detail.scrollIntoView({ block: "start" });
  };
  window.addEventListener("hashchange", () => { if (/^#(q|m)=/.test(location.hash)) open(); });
  form.hidden = false;
  byId("browser").hidden = false;
  open();
})();
