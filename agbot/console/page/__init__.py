"""The operators' web page: views rendered on the server from what the API has.

`views` and `ordering` answer requests; all other modules turn facts into what a template shows, and
do no I/O (`chronicler`, which follows the journal, and `rendering` excepted).
"""
