import type { Database } from "../../base/database.ts";
import type { Uses } from "./types.ts";

/** Which records running builds rely on. Times and counts of use are written when a build lets go. */
export class UseCounts {
  readonly #db: Database;
  readonly #counts = new Map<string, number>();

  constructor(db: Database) {
    this.#db = db;
  }

  has(id: string): boolean {
    return this.#counts.has(id);
  }

  /** Not `counted`: only so that it stays for a moment. */
  open(counted: boolean): Uses {
    const ids = new Set<string>();
    return {
      add: (id) => {
        if (ids.has(id)) return;
        ids.add(id);
        this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
      },
      [Symbol.dispose]: () => {
        if (ids.size > 0) this.#release(ids, counted);
        ids.clear();
      },
    };
  }

  #release(ids: ReadonlySet<string>, counted: boolean): void {
    for (const id of ids) {
      const count = this.#counts.get(id)! - 1;
      if (count === 0) this.#counts.delete(id);
      else this.#counts.set(id, count);
    }
    if (!counted) return;
    const now = Date.now();
    this.#db.transaction(() => {
      for (const id of ids)
        this.#db.run(
          "UPDATE records SET last_used_at = ?, usage_count = usage_count + 1 WHERE id = ?",
          now,
          id,
        );
    });
  }
}
