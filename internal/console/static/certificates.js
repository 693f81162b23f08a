// Files of certificates may be dropped anywhere on the form that takes them.

for (const form of document.querySelectorAll("form.droppable")) {
  const input = form.querySelector("input[type=file]");
  let inside = 0;
  const over = (on) => form.toggleAttribute("data-over", on);
  form.addEventListener("dragenter", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    inside += 1;
    over(true);
  });
  form.addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    over(inside > 0);
  });
  form.addEventListener("dragover", (event) => {
    if (event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
  form.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    inside = 0;
    over(false);
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
}

// The answer is what one came for.
const answer = document.getElementById("answer");
if (answer && !location.hash) answer.scrollIntoView({ block: "nearest" });
