// What a block needs to know of the report it stands in.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { HOME, type Route } from "../route";

export interface Place {
  /** The address that links of blocks start from. */
  from: Route;
  /** The key of the section that was left last: its link gets the focus back. */
  left: string;
  /** Choosing rows of the list of runs, to compare them. */
  chosen?: ReadonlySet<string>;
  choose?: (link: string) => void;
}

export const Here = createContext<Place>({ from: HOME, left: "" });

export function useHere(): Place {
  return useContext(Here);
}
