"use strict";
(() => {
  const button = document.querySelector("button");
  const said = document.querySelector("[role=status]");
  let going = true;
  const show = () => { button.textContent = going ? "Pause updates" : "Resume updates"; };
  button.hidden = false;
  button.addEventListener("click", () => { going = !going; show(); });
  // Heard when it changes; seen only when the page is old, because the state stands below.
  const say = (text, isOld) => {
    if (said.textContent !== text) { said.textContent = text; }
    said.classList.toggle("heard", !isOld);
  };
  const update = async () => {
    if (going && !document.hidden) {
      try {
        const answer = await fetch("/", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(5000) });
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const state = fresh.querySelector(".state strong").textContent;
        document.querySelector("header p").textContent = fresh.querySelector("header p").textContent;
        document.querySelector("main").replaceChildren(...fresh.querySelector("main").childNodes);
        say(state, false);
      } catch {
        say("Sluice does not answer; what stands here is old.", true);
      }
    }
    setTimeout(update, 2000);
  };
  show();
  setTimeout(update, 2000);
})();
