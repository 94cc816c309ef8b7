// Shows what a model wrote. Nodes are made, never HTML, so that nothing written can become a script.

const FENCE = /```[^\n]*\n([\s\S]*?)(?:```|$)/g;
const INLINE = /`([^`\n]+)`/g;

/** Replaces the content of `target` by `text`, with its code set apart. */
export function show(target, text) {
  target.replaceChildren(
    ...split(text, FENCE, (code) => element("pre", element("code", code)), (plain) =>
      split(plain, INLINE, (code) => element("code", code), (words) => [words]),
    ),
  );
}

function split(text, pattern, inside, outside) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    nodes.push(...outside(text.slice(end, match.index)), inside(match[1]));
    end = match.index + match[0].length;
  }
  nodes.push(...outside(text.slice(end)));
  return nodes;
}

/** An element with children; strings become text. */
export function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}
