// Hides the settings that do not match the search.

export function start({ element }) {
  const search = element.querySelector("input");
  search.oninput = () => {
    const wanted = search.value.trim().toLowerCase();
    for (const group of document.querySelectorAll(".easel-settings-group")) {
      const settings = [...group.querySelectorAll(".easel-setting")];
      const name = group.querySelector("h2")?.textContent.toLowerCase() ?? "";
      for (const setting of settings) {
        const isMatch = name.includes(wanted) || setting.textContent.toLowerCase().includes(wanted);
        setting.classList.toggle("easel-hidden", !isMatch);
      }
      group.classList.toggle("easel-hidden", settings.every((each) => each.classList.contains("easel-hidden")));
    }
  };
}
