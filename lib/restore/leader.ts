/** Writing to a meta store: only its leader takes writes, it changes, and a follower answers 200 without writing anything. */
import { Failure, messageOf } from "../cli/errors.ts";
import { type Endpoint, pause } from "../cnosdb/http.ts";
import { preview } from "../dump/json.ts";
import { mayPass, Trouble, unexpected, withoutHashes } from "../cnosdb/meta.ts";
import type { MetaGroup } from "../cnosdb/meta_group.ts";

/** The line that a follower answers to a write, with the leader's address or `None`. */
const forward = /^has to forward request to: .*?(?:address: "([^"]*)"|None)/s;
const success = /^Restore Data Success, Total: (\d+) $/;
const longestPauseMs = 8_000;

export class LeaderWriter {
  #leader: Endpoint | undefined;
  #search: Promise<Endpoint | undefined> | undefined;
  #lastWriteMs = 0;
  #stalledSinceMs: number | undefined;

  /** @param timeoutMs how long to go on trying while nothing gets through */
  constructor(readonly group: MetaGroup, readonly timeoutMs: number) {}

  /** For how long nothing has got through; undefined while all is well. */
  get stalledMs(): number | undefined {
    return this.#stalledSinceMs === undefined ? undefined : Date.now() - this.#stalledSinceMs;
  }

  /**
   * Writes entries through the leader, whoever that is by then. A repeat is harmless, as a key gets the same value again: what got
   * no answer is sent again, until nothing at all has got through for `timeoutMs`.
   * @param lines `key: value` lines @param count how many
   * @throws {Failure} where the answer is another number, no leader is found in time, or there is no /restore
   */
  async post(lines: string, count: number): Promise<void> {
    const { meta } = this.group;
    const { signal } = meta.options;
    const startMs = Date.now();
    let { pauseMs } = meta.options;
    let hopped = false;
    for (let node = this.#leader ?? await this.#findLeader();;) {
      let trouble: unknown;
      let named: string | undefined;
      try {
        named = await this.#write(node, lines, count);
        if (named === undefined) {
          this.#lastWriteMs = Date.now();
          this.#stalledSinceMs = undefined;
          this.#leader = meta.preferred = node;
          return;
        }
        trouble = new Trouble(
          `${node.url} is a follower and knows ${named ? `${named} as leader` : "no leader"}`,
        );
      } catch (error) {
        if (!mayPass(error)) throw error;
        trouble = error;
      }
      if (Date.now() - Math.max(startMs, this.#lastWriteMs) > this.timeoutMs) {
        const { text, leads } = await this.group.describe();
        throw new Failure(
          `nothing could be written for ${this.timeoutMs / 1000} s: ${messageOf(trouble)}${
            text ? `; ${text}` : ""
          }`,
          leads
            ? "give the leader's address, as it is reached from here, as META_URL. What has been written is not sent again."
            : "more than half of the meta nodes must be up to have a leader, and the leader must be reached from here: " +
              "start those that are down, give the addresses of all. What has been written is not sent again.",
        );
      }
      this.#stalledSinceMs ??= Date.now();
      // Another job may have found the leader in the meantime.
      if (this.#leader === node) this.#leader = undefined;
      this.#leader ??= named ? await this.group.resolve(node, named) : undefined;
      if (!this.#leader || hopped) {
        await pause(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
      hopped = !hopped && this.#leader !== undefined;
      node = this.#leader ?? await this.#findLeader(node);
    }
  }

  /** One POST. @returns undefined where all is written, else the leader's address that a follower knows, or "" */
  async #write(node: Endpoint, lines: string, count: number): Promise<string | undefined> {
    if (!await this.group.isOurs(node)) {
      throw new Trouble(
        `${node.url} does not answer as a node of this cluster does: other data nodes, another root`,
      );
    }
    const where = `POST ${node.url}/restore`;
    // What is under way is finished at SIGINT, so the signal is not handed on.
    const { status, headers, body } = await this.group.meta.send(node, "POST", "/restore", lines, {
      signal: new AbortController().signal,
      timeoutMs: Math.min(this.timeoutMs, 30_000 + 200 * count),
    });
    if (status === 404 || status === 405) {
      throw new Failure(
        `${where} answered ${status}: this server cannot restore`,
        "the target must be a meta service of CnosDB 2.4.",
      );
    }
    if (status !== 200) throw unexpected(where, { status, headers, body });
    const total = success.exec(body)?.[1];
    if (total !== undefined && Number(total) === count) return undefined;
    if (total !== undefined) {
      throw new Failure(
        `${where}: ${count} entries were sent, the server counted ${total}`,
        "something on the way changes what is sent: a proxy? Post to the meta service itself.",
      );
    }
    const leader = forward.exec(body);
    if (leader) return leader[1] ?? "";
    throw new Trouble(
      `${where} answered ${JSON.stringify(preview(withoutHashes(body), 200))} instead of success`,
    );
  }

  /** The node that says it leads; else the one after `after`, in turn. All that look for it at once share one search. */
  async #findLeader(after?: Endpoint): Promise<Endpoint> {
    const { nodes } = this.group.meta;
    this.#search ??= this.group.leader().finally(() => this.#search = undefined);
    const turn = nodes.findIndex((node) => node.url === after?.url) + 1;
    return await this.#search ?? nodes[turn % nodes.length]!;
  }
}
