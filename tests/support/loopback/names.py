"""Names of made-up users and chats: each is a word and a Latin handle derived from it."""

# ruff: noqa: RUF001 (Cyrillic letters that look Latin are the point)

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    written: str
    handle: str


def _words(words: str) -> tuple[str, ...]:
    return tuple(words.split())


def _same(words: str) -> tuple[Name, ...]:
    return tuple(Name(word, word.lower()) for word in words.split())


def _pairs(words: str) -> tuple[Name, ...]:
    return tuple(Name(*pair.split("/")) for pair in words.split())


class Script(NamedTuple):
    first_names: tuple[Name, ...]
    last_names: tuple[str, ...]
    topics: tuple[Name, ...]
    places: tuple[str, ...]


LATIN = Script(
    _same(
        "Ada Alan Alice Amir Ana Ben Carla Chen Dario Diana Elif Emma Felix Fatima George Grace Hana Hugo"
        " Ines Ivan Jakob Jana Kai Karim Laura Leo Lina Marco Maya Nadia Noah Olga Omar Paula Priya Rosa"
        " Sam Sofia Tom Uma Vera Viktor Wei Yara Yusuf Zoe"
    ),
    _words(
        "Ahmed Almeida Bauer Berg Brown Costa Cruz Dubois Evans Ferrari Fischer Garcia Haas Ivanov Jansen"
        " Kaya Kim Koch Kumar Lopez Meyer Moretti Müller Nguyen Novak O'Brien Park Patel Petrov Popescu"
        " Rossi Saito Santos Schmidt Silva Singh Smith Tanaka Torres Wagner Wang Weber Wilson Yılmaz Zhang"
    ),
    _same("News Trade Music Cinema Football Chess Recipes Travel Jobs Python Rust Memes Books Photo Auto Science"),
    tuple("Berlin London Madrid Lisbon Dubai Tashkent Istanbul Delhi Lagos Lima World Daily Club Hub 24 Pro"),
)

CYRILLIC = Script(
    _pairs(
        "Анна/anna Алексей/alexey Борис/boris Вера/vera Виктор/viktor Галина/galina Дарья/darya"
        " Дмитрий/dmitry Егор/egor Елена/elena Жанна/zhanna Зоя/zoya Иван/ivan Ирина/irina Кирилл/kirill"
        " Ксения/kseniya Лев/lev Любовь/lyubov Мария/maria Михаил/mikhail Наталья/natalya Никита/nikita"
        " Оксана/oksana Олег/oleg Павел/pavel Полина/polina Роман/roman Светлана/svetlana Сергей/sergey"
        " Тарас/taras Ульяна/ulyana Фёдор/fyodor Юлия/yulia Ярослав/yaroslav"
    ),
    _words(
        "Бондаренко Васильченко Волошин Гончар Дорошенко Жук Зайко Иваненко Кравчук Лебедко Мельник"
        " Назарко Орлик Панченко Рыбак Савченко Ткач Ушак Фоменко Хоменко Цыбуля Чумак Шевчук Щербак"
        " Юрченко Якименко"
    ),
    _pairs(
        "Новости/novosti Торговля/torgovlya Музыка/muzyka Кино/kino Футбол/futbol Шахматы/shahmaty"
        " Рецепты/recepty Путешествия/tury Работа/rabota Наука/nauka Книги/knigi Мемы/memy Авто/auto"
        " Погода/pogoda"
    ),
    _words("Москва Киев Минск Алматы Ташкент Казань Одесса Тбилиси Мир Онлайн Клуб 24 Плюс"),
)
