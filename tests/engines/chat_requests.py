"""Requests in the form that the starter chat model was trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.engines.base import ChatMessage, ChatModel, ChatRequest

PROFILES = {
    "en": (
        "name: Harbour Clinic\nopen: Monday to Friday from nine in the morning to six\n"
        "closed: Saturday, Sunday\naddress: twelve Mill Road\n"
        "prices: cleaning = ninety dirhams; filling = two hundred dirhams\npeople: the manager"
    ),
    "ar": (
        "name: عيادة السنابل\nopen: من الأحد إلى الخميس من التاسعة صباحا حتى السادسة مساء\n"
        "closed: الجمعة\naddress: شارع النخيل، مبنى رقم عشرة\n"
        "prices: تنظيف الأسنان = مئة درهم; فحص = خمسون درهما\npeople: المدير"
    ),
    "ru": (
        "name: клиника Лотос\nopen: с понедельника по пятницу с девяти утра до семи вечера\n"
        "closed: суббота; воскресенье\naddress: улица Кузнечная, дом двадцать три\n"
        "prices: чистка = сто дирхамов; осмотр = пятьдесят дирхамов\npeople: дежурный врач"
    ),
}
QUESTIONS = {
    "en": ("Hello, where are you?", "How much is a cleaning?", "I need to see a doctor."),
    "ar": ("ما هو عنوانكم؟", "كم سعر تنظيف الأسنان؟", "أريد حجز موعد."),
    "ru": ("Какой у вас адрес?", "Сколько стоит чистка?", "Хочу записаться на приём."),
}


def system(language: str) -> ChatMessage:
    text = "You are the phone receptionist. Speak briefly in the caller's language."
    return ChatMessage("system", f"{text}\n[{language}]\n{PROFILES[language]}")


def request(
    question: str = "Hello, where are you?", language: str = "en", call: str = "a", **changes: Any
) -> ChatRequest:
    messages = (system(language), ChatMessage("user", question))
    return replace(ChatRequest(call, messages, max_tokens=40), **changes)


async def collect(chat: ChatModel, request: ChatRequest) -> str:
    return "".join([piece async for piece in chat.stream(request)])


ALL_REQUESTS = [
    request(question, language, call=f"{language}{i}")
    for language, questions in QUESTIONS.items()
    for i, question in enumerate(questions)
]
