"""A report: one page that shows a ledger, and checks itself (docs/report.md).

:mod:`verify.report.carried` says what of a ledger a page carries, :mod:`verify.report.page` writes it. The
page's own parts lie beside them: ``page.html``, ``page.css``, and its scripts, plain files that a browser
runs as they are.
"""
