import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.tsx";
import { listenForKeys } from "./keys.ts";
import { watchNetwork } from "./net/link.ts";
import { follow } from "./route.ts";
import { boot } from "./session.ts";
import { theme, watchVisibility } from "./state.ts";
import { tick } from "./ui/now.ts";

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
});
follow();
watchVisibility();
watchNetwork();
listenForKeys();
tick();
void boot();
render(<App />, document.getElementById("app")!);
