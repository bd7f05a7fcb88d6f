/** What a page of the documentation holds: headings, prose, fenced blocks. */

export interface Block {
  lang: string;
  text: string;
}

export interface Section {
  level: number;
  title: string;
  /** its text up to the next heading, fenced blocks left out */
  prose: string;
  blocks: Block[];
}

export function sectionsOf(markdown: string): Section[] {
  const sections: Section[] = [];
  let block: Block | undefined;
  for (const line of markdown.split("\n")) {
    const section = sections.at(-1);
    const heading = block ? null : /^(#+) (.*)$/.exec(line);
    if (heading) {
      sections.push({ level: heading[1]!.length, title: heading[2]!, prose: "", blocks: [] });
    } else if (line.startsWith("```")) {
      if (!block) section!.blocks.push(block = { lang: line.slice(3), text: "" });
      else block = undefined;
    } else if (block) block.text += `${line}\n`;
    else if (section) section.prose += `${line}\n`;
  }
  return sections;
}

export const codeSpans = (prose: string) => [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);

/** A block's commands: comments left out, lines that go on joined. */
export function linesOf({ text }: Block): string[] {
  return text.replaceAll(/\\\n\s*/g, "").split("\n").map((line) => line.replace(/(^|\s)#\s.*$/, "").trim())
    .filter((line) => line !== "");
}

/** The cells of a table's rows, its head left out. */
export function rowsOf(prose: string): string[][] {
  return prose.split("\n").filter((line) => line.startsWith("|")).slice(2)
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

/** As GitHub makes it. */
export function anchorOf(title: string): string {
  return title.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-");
}

/** The words of a command as the shell makes them, redirections left out. */
export function wordsOf(line: string): string[] {
  return [...line.replaceAll(/>>? ?\S+|< ?\S+/g, "").matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)]
    .map(([word]) => word.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2"));
}
