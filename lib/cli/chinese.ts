/** Chinese by English, for `translate`: help, hints, messages. What is missing stays English. */
export const chinese: Readonly<Record<string, string>> = {};
