/** Passwords that 2.3.0 to 2.3.3 hold as plain text, as 2.4 wants them. */
import { Buffer } from "node:buffer";
import { loadBcrypt } from "../cli/deps.ts";

/** bcrypt, cost 12, with a salt made of the user's 128-bit id: random, unique, and the same in every run. */
export async function loadHash(): Promise<(password: string, userId: string) => string> {
  const bcrypt = await loadBcrypt();
  return (password, userId) => {
    const id = Buffer.from(BigInt(userId).toString(16).padStart(32, "0"), "hex");
    return bcrypt.hashSync(password, `$2b$12$${bcrypt.encodeBase64(id, 16)}`);
  };
}
