import { isChinese, translator } from "../../../lib/cli/language.ts";
import { assertEquals } from "../../helpers/deps.ts";

Deno.test("the first of LC_ALL, LC_MESSAGES and LANG that is set decides the language", () => {
  const said = (variables: Record<string, string>) => isChinese((name) => variables[name]);
  assertEquals(said({ LANG: "zh_CN.UTF-8" }), true);
  assertEquals(said({ LC_ALL: "C", LANG: "zh_CN.UTF-8" }), false);
  assertEquals(said({ LC_ALL: "", LC_MESSAGES: "zh_TW", LANG: "en_US" }), true);
  assertEquals(said({}), false);
});

Deno.test("a variable that may not be read is not set", () => {
  assertEquals(
    isChinese(() => {
      throw new Deno.errors.NotCapable("no");
    }),
    false,
  );
});

Deno.test("translator() fills in what varies, in the order of the translation, and returns unknown texts unchanged", () => {
  const translate = translator({
    "done": "完成",
    "error: {} of {} tables (why?)": "错误：共 {2} 张表，{1} 张失败",
  });
  assertEquals(translate("done"), "完成");
  assertEquals(translate("error: 3 of 7 tables (why?)"), "错误：共 7 张表，3 张失败");
  assertEquals(translate("nothing like it"), "nothing like it");
});
