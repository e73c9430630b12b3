// A value that components watch.
import { useLayoutEffect, useState } from "preact/hooks";

export interface Watched<T> {
  get(): T;
  set(value: T): void;
  use(): T;
}

export function watched<T>(initial: T): Watched<T> {
  let value = initial;
  const watchers = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const watcher of [...watchers]) watcher();
    },
    use() {
      const [, redraw] = useState(0);
      useLayoutEffect(() => {
        const watcher = () => redraw((count) => count + 1);
        watchers.add(watcher);
        return () => void watchers.delete(watcher);
      }, []);
      return value;
    },
  };
}
