import { theme, themes } from "../state.ts";
import { Halves, Moon, Sun } from "./icons.tsx";

/**
 * ThemeSwitch cycles through the system's colours, light ones and dark ones.
 */
export function ThemeSwitch() {
  const Icon = { auto: Halves, light: Sun, dark: Moon }[theme.value];
  const names = { auto: "as the system", light: "light", dark: "dark" };
  const next = () => (theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length]!);
  return (
    <button type="button" class="tool" title={`Colours: ${names[theme.value]}`} onClick={next}>
      <Icon />
      <span class="out">Colours: {names[theme.value]}</span>
    </button>
  );
}
