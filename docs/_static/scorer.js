// How the search orders what it finds: as Sphinx does, but a title that contains the whole query, "homework 4", comes first.
var Scorer = {
  score: ([, title, , , score, , kind]) => {
    const query = (new URLSearchParams(window.location.search).get("q") ?? "").trim().toLowerCase();
    return score + (kind !== "object" && query && title.toLowerCase().includes(query) ? 10 : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
